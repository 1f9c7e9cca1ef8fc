//! Whether the database's clock stands where it is expected.
//!
//! Ticks go by that clock. When it jumps, or this machine has slept, nothing ticks until it has been steady for a while:
//! a jump that is taken back makes no task. After one that stays, what it passed over was missed.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// Clocks that disagree by more make schedules wait.
const APART_MAX: TimeDelta = TimeDelta::seconds(2);

/// What this process knows of the database's clock.
#[derive(Debug)]
pub struct SteadyClock {
    /// How long it must be steady after a jump.
    wait: Duration,
    last: Option<(Instant, DateTime<Utc>)>,
    waits_until: Option<Instant>,
}

impl SteadyClock {
    /// Knows nothing yet, and trusts what it sees first.
    pub const fn new(wait: Duration) -> Self {
        Self { wait, last: None, waits_until: None }
    }

    /// The database's clock was seen. Returns how long schedules must wait, if they must.
    pub fn see(&mut self, here: Instant, there: DateTime<Utc>) -> Option<Duration> {
        if let Some(last) = self.last {
            let apart = there - expected(last, here);
            if apart.abs() > APART_MAX {
                self.waits_until = Some(here + self.wait);
            }
        }
        self.last = Some((here, there));
        self.waits_until = self.waits_until.filter(|until| *until > here);
        self.waits_until.map(|until| until - here)
    }

    /// Where it must be for a statement that begins now: if it jumps before that runs, nothing ticks.
    pub fn bound(&self, here: Instant, seen: DateTime<Utc>) -> DateTime<Utc> {
        self.last.map_or(seen, |last| expected(last, here)) + APART_MAX
    }
}

fn expected(last: (Instant, DateTime<Utc>), here: Instant) -> DateTime<Utc> {
    last.1 + TimeDelta::from_std(here.duration_since(last.0)).unwrap_or(TimeDelta::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    #[test]
    fn a_jump_makes_schedules_wait_and_a_steady_clock_does_not() {
        let (start, there) = (Instant::now(), Utc::now());
        let second = |second: u64| start + Duration::from_secs(second);
        let at = |second: i64| there + TimeDelta::seconds(second);
        for jump in [3_600, -3_600, 4] {
            let mut clock = SteadyClock::new(WAIT);
            assert_eq!(clock.see(second(0), at(0)), None, "the first is trusted");
            assert_eq!(clock.see(second(5), at(6)), None, "an answer that came late");
            assert_eq!(clock.see(second(10), at(10 + jump)), Some(WAIT), "{jump}");
            assert_eq!(clock.see(second(15), at(15 + jump)), Some(Duration::from_secs(5)), "{jump}");
            assert_eq!(clock.see(second(20), at(20 + jump)), None, "{jump}");
        }
    }

    #[test]
    fn a_jump_that_is_taken_back_begins_the_wait_again() {
        let (start, there) = (Instant::now(), Utc::now());
        let mut clock = SteadyClock::new(WAIT);
        clock.see(start, there);
        assert!(clock.see(start, there + TimeDelta::hours(1)).is_some());
        assert_eq!(clock.see(start + Duration::from_secs(9), there + TimeDelta::seconds(9)), Some(WAIT));
    }

    #[test]
    fn a_statement_is_bound_to_the_time_that_is_expected() {
        let (start, there) = (Instant::now(), Utc::now());
        let mut clock = SteadyClock::new(WAIT);
        clock.see(start, there);
        assert_eq!(clock.bound(start + Duration::from_secs(1), there), there + TimeDelta::seconds(3));
    }
}
