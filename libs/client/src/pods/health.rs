//! Whether a pod is worth trying.

use std::time::Duration;

use tokio::time::Instant;

const AVOID_FIRST: Duration = Duration::from_millis(100);
const AVOID_MAX: Duration = Duration::from_secs(5);

/// A pod's failures in a row. Each further one keeps us away for longer.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: u32,
    counted_at: Option<Instant>,
    avoided_until: Option<Instant>,
}

impl Health {
    /// When it may be tried again; none if now.
    pub fn avoided_until(&self, now: Instant) -> Option<Instant> {
        self.avoided_until.filter(|until| *until > now)
    }

    /// It answered.
    pub fn succeed(&mut self) {
        if self.failures > 0 {
            *self = Self::default();
        }
    }

    /// It could not be reached or cannot serve. `began` is when that attempt began: what failed together counts once.
    pub fn fail(&mut self, began: Instant, now: Instant) {
        self.count(began, now, 0);
    }

    /// A connection that was good broke. Once is what a restart does, and no reason to keep away.
    pub fn disconnect(&mut self, began: Instant, now: Instant) {
        self.count(began, now, 1);
    }

    fn count(&mut self, began: Instant, now: Instant, free: u32) {
        if self.counted_at.is_some_and(|counted_at| began <= counted_at) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.counted_at = Some(now);
        if let Some(doublings) = (self.failures - 1).checked_sub(free) {
            let longest = AVOID_FIRST.saturating_mul(1 << doublings.min(16)).min(AVOID_MAX);
            // Jitter, so that many clients do not come back at the same moment.
            self.avoided_until = Some(now + longest.mul_f64(rand::random_range(0.5..=1.0)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn avoidance_grows_to_its_bound_and_ends_with_an_answer() {
        let mut health = Health::default();
        let mut now = Instant::now();
        let mut longest = Duration::ZERO;
        for _ in 0..40 {
            now += AVOID_MAX;
            health.fail(now, now);
            let wait = health.avoided_until(now).expect("avoided") - now;
            assert!(wait >= AVOID_FIRST / 2 && wait <= AVOID_MAX);
            longest = longest.max(wait);
            now += MS;
        }
        assert!(longest > AVOID_MAX / 2, "{longest:?}");
        health.succeed();
        assert_eq!(health.avoided_until(now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_together_counts_once() {
        let mut health = Health::default();
        let began = Instant::now();
        for _ in 0..100 {
            health.fail(began, began + MS);
        }
        assert_eq!(health.failures, 1);
        health.fail(began + 2 * MS, began + 3 * MS);
        assert_eq!(health.failures, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_broken_connection_is_tried_again_at_once() {
        let mut health = Health::default();
        let now = Instant::now();
        health.disconnect(now, now);
        assert_eq!(health.avoided_until(now), None);
        health.disconnect(now + MS, now + MS);
        assert!(health.avoided_until(now + MS).is_some());
    }
}
