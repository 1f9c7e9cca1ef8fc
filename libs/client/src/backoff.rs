//! How long to wait before a stream is opened again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const MAX: Duration = Duration::from_secs(2);

/// Doubling delays with jitter, from 50 ms to 2 s.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next delay: at least half of the present bound, so that nobody spins.
    pub fn next_delay(&mut self) -> Duration {
        let longest = FIRST.saturating_mul(1 << self.failures.min(16)).min(MAX);
        self.failures = self.failures.saturating_add(1);
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// It went well.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_two_seconds() {
        let mut backoff = Backoff::default();
        assert!((FIRST / 2..=FIRST).contains(&backoff.next_delay()));
        for _ in 0..100 {
            let delay = backoff.next_delay();
            assert!((FIRST / 2..=MAX).contains(&delay), "{delay:?}");
        }
        assert!(backoff.next_delay() >= MAX / 2);
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST);
    }
}
