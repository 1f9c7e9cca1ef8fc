//! Waiting for what comes some time.

use std::fmt::Display;
use std::panic::Location;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, sleep, timeout_at};

const ASK_EVERY: Duration = Duration::from_millis(20);

/// Asks again and again until `ask` returns something. One question that hangs counts as no answer.
///
/// # Errors
/// When there is nothing after `within`: with `what` was awaited, for how long, and where in the test.
#[track_caller]
pub fn eventually<T>(
    within: Duration,
    what: impl Display,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = Result<T>> {
    let asked_at = Location::caller();
    async move {
        let deadline = Instant::now() + within;
        while let Ok(answer) = timeout_at(deadline, ask()).await {
            if let Some(answer) = answer {
                return Ok(answer);
            }
            if Instant::now() + ASK_EVERY >= deadline {
                break;
            }
            sleep(ASK_EVERY).await;
        }
        Err(anyhow!("{asked_at}: {what}: not within {within:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_asks_until_there_is_an_answer() {
        let mut questions = 0;
        let answer = eventually(Duration::from_secs(5), "three", async || {
            questions += 1;
            (questions == 3).then_some(questions)
        });
        assert_eq!(answer.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn it_tells_what_and_where_when_there_is_none() {
        let short = Duration::from_millis(50);
        let never = eventually(short, "the answer", async || None::<()>).await.unwrap_err().to_string();
        assert!(never.contains("eventually.rs") && never.contains("the answer: not within 50ms"), "{never}");
        let hangs = eventually::<()>(short, "the answer", async || std::future::pending().await).await;
        assert!(hangs.is_err());
    }
}
