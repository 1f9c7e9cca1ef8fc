//! `sleep`: waits, for trials and tests.

use std::time::Duration;

use serde::Deserialize;
use taskyard_client::worker::{Context, Job, Outcome};
use taskyard_core::limits;

const STEPS_MAX: u32 = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object like {\"ms\": 1000}, with `steps`, `fail` and `fatal` if wanted")]
struct Payload {
    /// How long, in milliseconds.
    ms: u64,
    /// Tells progress this many times on the way.
    #[serde(default)]
    steps: u32,
    /// Fails with this error at the end.
    fail: Option<String>,
    /// Such a failure is for good.
    #[serde(default)]
    fatal: bool,
}

/// Sleeps as the payload says.
pub(super) async fn run(job: &Job, context: &Context) -> Outcome {
    let payload: Payload = match job.payload_as() {
        Ok(payload) => payload,
        Err(error) => return Outcome::fatal(format!("the payload of a sleep task: {error}")),
    };
    let time = Duration::from_millis(payload.ms);
    if time > limits::TIMEOUT_MAX {
        return Outcome::fatal(format!(
            "ms is {}; at most {} are allowed",
            payload.ms,
            limits::TIMEOUT_MAX.as_millis()
        ));
    }
    if payload.steps > STEPS_MAX {
        return Outcome::fatal(format!("steps is {}; at most {STEPS_MAX} are allowed", payload.steps));
    }
    let began = tokio::time::Instant::now();
    for step in 1..=payload.steps {
        tokio::time::sleep_until(began + time.mul_f64(f64::from(step) / f64::from(payload.steps))).await;
        let percent = u8::try_from(u64::from(step) * 100 / u64::from(payload.steps)).unwrap_or(100);
        context.progress(percent, format!("step {step} of {}", payload.steps));
    }
    tokio::time::sleep_until(began + time).await;
    match payload.fail {
        None => Outcome::completed(&()),
        Some(error) => Outcome::Failed { error, fatal: payload.fatal, retry_after: None },
    }
}

#[cfg(test)]
mod tests {
    use taskyard_client::worker::testing;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_sleeps_and_tells_progress() {
        let (context, probe) = testing::context();
        let job = testing::job("sleep", "{\"ms\": 900, \"steps\": 3}");
        let began = tokio::time::Instant::now();
        let watch = async {
            let mut seen = Vec::new();
            while seen.len() < 3 {
                probe.progressed().await;
                seen.push((began.elapsed().as_millis(), probe.progress().expect("told")));
            }
            seen
        };
        let (outcome, seen) = tokio::join!(run(&job, &context), watch);
        assert_eq!((outcome, began.elapsed().as_millis()), (Outcome::Completed("null".into()), 900));
        let expected = [(300, 33, "step 1 of 3"), (600, 66, "step 2 of 3"), (900, 100, "step 3 of 3")];
        assert_eq!(seen, expected.map(|(ms, percent, text)| (ms, (percent, text.to_owned()))));
    }

    #[tokio::test(start_paused = true)]
    async fn it_fails_as_told_and_refuses_what_it_does_not_know() {
        let outcome = |payload: &'static str| async move {
            match run(&testing::job("sleep", payload), &testing::context().0).await {
                Outcome::Failed { error, fatal, .. } => (error, fatal),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(outcome("{\"ms\": 1, \"fail\": \"oh\"}").await, ("oh".to_owned(), false));
        assert_eq!(outcome("{\"ms\": 1, \"fail\": \"oh\", \"fatal\": true}").await, ("oh".to_owned(), true));
        for (payload, part) in [
            ("", "an object like"),
            ("{}", "missing field `ms`"),
            ("{\"ms\": -1}", "-1"),
            ("{\"ms\": 1, \"stepps\": 1}", "stepps"),
            ("{\"ms\": 1, \"steps\": 10001}", "10000"),
            ("{\"ms\": 99999999999}", "604800000"),
        ] {
            let (error, fatal) = outcome(payload).await;
            assert!(fatal && error.contains(part), "{payload}: {error}");
        }
    }
}
