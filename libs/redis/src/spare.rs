//! Redis for what can do without it: nobody waits for a server that does not answer.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, timeout};

use crate::Redis;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(250);
/// For how long nobody asks after a call that failed. Then one asks, and the others when that one had an answer.
const PAUSE: Duration = Duration::from_secs(1);

/// A connection whose failures cost their callers a moment, and only the first of them.
#[derive(Clone, Debug)]
pub struct Spare {
    redis: Arc<Redis>,
    breaker: Arc<Breaker>,
}

impl Spare {
    /// The same connection, for what can do without it.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        Self { redis: Arc::new(redis), breaker: Arc::new(Breaker::new()) }
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.redis
    }

    /// The answer; none if there is none in time, or if nobody asks now.
    pub(crate) fn ask<T>(
        &self,
        call: impl Future<Output = Result<T, fred::error::Error>>,
    ) -> impl Future<Output = Option<T>> {
        // A call is some kilobytes large, which whoever awaits it would move again and again.
        let call = Box::pin(call);
        async {
            if !self.breaker.lets_through(self.breaker.now()) {
                return None;
            }
            let answer = timeout(PATIENCE, call).await;
            let error = match answer {
                Ok(Ok(answer)) => {
                    self.breaker.open();
                    return Some(answer);
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer in {PATIENCE:?}"),
            };
            tracing::warn!(error, "Redis does not answer; it goes on without");
            self.breaker.close(self.breaker.now());
            None
        }
    }
}

/// Whether calls go through. While it is closed, one call a [`PAUSE`] does. Times are milliseconds since it was made.
#[derive(Debug)]
struct Breaker {
    made: Instant,
    /// 0: it is open.
    closed_until: AtomicU64,
}

impl Breaker {
    fn new() -> Self {
        Self { made: Instant::now(), closed_until: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        self.made.elapsed().as_millis() as u64
    }

    fn lets_through(&self, now: u64) -> bool {
        let until = self.closed_until.load(Ordering::Relaxed);
        let next = now + PAUSE.as_millis() as u64;
        let is_the_one = || {
            now >= until
                && self.closed_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        until == 0 || is_the_one()
    }

    fn open(&self) {
        self.closed_until.store(0, Ordering::Relaxed);
    }

    fn close(&self, now: u64) {
        self.closed_until.store(now + PAUSE.as_millis() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_comes_after_a_failure_does_not_wait() {
        let spare = Spare::new(Redis::connect("redis://127.0.0.1:1", "test").unwrap());
        assert_eq!(spare.ask(std::future::pending::<Result<(), _>>()).await, None);
        assert_eq!(spare.ask(async { Ok(()) }).await, None, "it asks nobody");
        tokio::time::sleep(PAUSE).await;
        assert_eq!(spare.ask(async { Ok(()) }).await, Some(()));
        assert_eq!(spare.ask(async { Ok(()) }).await, Some(()));
    }

    #[test]
    fn after_a_failure_one_call_a_second_goes_through() {
        let breaker = Breaker::new();
        assert!(breaker.lets_through(0) && breaker.lets_through(0));
        breaker.close(10);
        assert!(!breaker.lets_through(1_009));
        assert!(breaker.lets_through(1_010), "it tries");
        assert!(!breaker.lets_through(1_011), "the others wait for how that goes");
        breaker.open();
        assert!(breaker.lets_through(1_012) && breaker.lets_through(1_012));
    }
}
