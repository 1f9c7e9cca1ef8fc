//! The built-in kinds of task.

mod http;
mod sleep;

use taskyard_client::worker::{Context, Handler, Job, Outcome};

use self::http::Http;

/// Their names.
pub(crate) use taskyard_core::task::BUILT_IN_KINDS as NAMES;

/// Runs the built-in kinds of task.
pub(crate) struct BuiltIn {
    http: Http,
}

impl BuiltIn {
    pub fn new(allow_private_addresses: bool, http_response_bytes_max: usize) -> anyhow::Result<Self> {
        Ok(Self { http: Http::new(http::Reach::new(allow_private_addresses), http_response_bytes_max)? })
    }
}

impl Handler for BuiltIn {
    async fn run(&self, job: Job, context: Context) -> Outcome {
        let work = async {
            match job.kind.as_str() {
                "http" => self.http.run(&job).await,
                "noop" => Outcome::completed(&()),
                "sleep" => sleep::run(&job, &context).await,
                // The server only assigns kinds that were named; another worker may know this one.
                _ => Outcome::Returned,
            }
        };
        tokio::select! {
            outcome = work => outcome,
            // Whatever is under way is dropped, an open request included.
            _ = context.stopped() => Outcome::Stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use taskyard_client::worker::{StopReason, testing};

    use super::*;

    fn built_in() -> BuiltIn {
        BuiltIn::new(false, 1_000).expect("a client")
    }

    #[tokio::test]
    async fn noop_completes_with_null_whatever_its_payload() {
        for payload in ["", "null", "{\"a\":1}"] {
            let outcome = built_in().run(testing::job("noop", payload), testing::context().0).await;
            assert_eq!(outcome, Outcome::Completed("null".into()));
        }
    }

    #[tokio::test]
    async fn an_unknown_kind_goes_back() {
        let outcome = built_in().run(testing::job("other", ""), testing::context().0).await;
        assert_eq!(outcome, Outcome::Returned);
    }

    #[tokio::test(start_paused = true)]
    async fn every_kind_stops_when_it_is_told_to() {
        let (context, probe) = testing::context();
        let built_in = built_in();
        let run = built_in.run(testing::job("sleep", "{\"ms\": 600000}"), context);
        let stop = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            probe.stop(StopReason::Canceled);
        };
        let began = tokio::time::Instant::now();
        let (outcome, ()) = tokio::join!(run, stop);
        assert_eq!(outcome, Outcome::Stopped);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }
}
