//! When a failed task is tried again.

use std::time::Duration;

/// How often and how fast a failed task is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts_max: u16,
    /// The upper end of the delay before the first retry; it doubles with each.
    pub backoff: Duration,
    /// The greatest upper end.
    pub backoff_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts_max: 10, backoff: Duration::from_secs(1), backoff_max: Duration::from_secs(3600) }
    }
}

impl RetryPolicy {
    /// Whether another attempt is left after `failed` attempts have failed.
    #[must_use]
    pub const fn attempts_left(&self, failed: u16) -> bool {
        failed < self.attempts_max
    }

    /// The delay before the next attempt after `failed` (at least 1) attempts have failed: exponential backoff with
    /// full jitter, `random` being drawn evenly from 0 to 1, and never earlier than `retry_after`.
    #[must_use]
    pub fn delay(&self, failed: u16, random: f64, retry_after: Option<Duration>) -> Duration {
        let doublings = u32::from(failed.saturating_sub(1)).min(31);
        let ceiling = self.backoff.saturating_mul(1 << doublings).min(self.backoff_max);
        let drawn = ceiling.mul_f64(random.clamp(0.0, 1.0));
        drawn.max(retry_after.unwrap_or_default()).min(crate::limits::RETRY_DELAY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn delay_stays_within_its_bounds(
            backoff_ms in 1u64..86_400_000,
            extra_ms in 0u64..600_000_000,
            failed in 1u16..=u16::MAX,
            random in 0.0f64..=1.0,
            retry_after_ms in proptest::option::of(0u64..10_000_000_000),
        ) {
            let backoff = Duration::from_millis(backoff_ms);
            let policy = RetryPolicy { attempts_max: 10, backoff, backoff_max: backoff + Duration::from_millis(extra_ms) };
            let retry_after = retry_after_ms.map(Duration::from_millis);
            let delay = policy.delay(failed, random, retry_after);
            prop_assert!(delay <= crate::limits::RETRY_DELAY_MAX);
            prop_assert!(delay >= retry_after.unwrap_or_default().min(crate::limits::RETRY_DELAY_MAX));
            if retry_after.is_none() {
                prop_assert!(delay <= policy.backoff_max);
                let uncapped = backoff.as_secs_f64() * 2f64.powi(i32::from(failed.min(60)) - 1);
                prop_assert!(delay.as_secs_f64() <= uncapped * 1.000_001 + 1e-6);
            }
        }

        #[test]
        fn the_ceiling_never_shrinks(failed in 1u16..200) {
            let policy = RetryPolicy::default();
            prop_assert!(policy.delay(failed, 1.0, None) <= policy.delay(failed + 1, 1.0, None));
        }
    }

    #[test]
    fn the_whole_range_is_drawn_from() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay(1, 0.0, None), Duration::ZERO);
        assert_eq!(policy.delay(1, 1.0, None), Duration::from_secs(1));
        assert_eq!(policy.delay(4, 1.0, None), Duration::from_secs(8));
        assert_eq!(policy.delay(40, 1.0, None), Duration::from_secs(3600));
    }
}
