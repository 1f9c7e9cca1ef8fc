//! When a schedule ticks.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::CronExpression;

/// What a schedule goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// A calendar and the clock of a time zone.
    Cron(CronExpression),
    /// Every so often, counted from a time on.
    Every {
        /// So often.
        interval: Duration,
        /// One of its ticks; the others lie before and behind it.
        anchor_at: DateTime<Utc>,
    },
    /// One time.
    Once(DateTime<Utc>),
}

/// All ticks of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// What it goes by.
    pub when: When,
    /// No tick before this.
    pub starts_at: Option<DateTime<Utc>>,
    /// No tick after this.
    pub ends_at: Option<DateTime<Utc>>,
}

impl Times {
    /// The first tick after a time.
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let before_start = self.starts_at.map(just_before);
        let after = before_start.map_or(after, |start| after.max(start));
        let next = match &self.when {
            When::Cron(expression) => expression.next_after(after),
            When::Every { interval, anchor_at } => next_of_interval(*interval, *anchor_at, after),
            When::Once(at) => (*at > after).then_some(*at),
        };
        next.filter(|next| self.ends_at.is_none_or(|end| *next <= end))
    }

    /// The next ticks after a time, at most so many.
    #[must_use]
    pub fn list_after(&self, after: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
        std::iter::successors(self.next_after(after), |last| self.next_after(*last)).take(count).collect()
    }
}

/// The last time before this one, as the database tells times apart.
pub(super) fn just_before(time: DateTime<Utc>) -> DateTime<Utc> {
    time - TimeDelta::microseconds(1)
}

fn next_of_interval(interval: Duration, anchor_at: DateTime<Utc>, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let interval_us = i64::try_from(interval.as_micros()).ok().filter(|interval| *interval > 0)?;
    let passed_us = (after - anchor_at).num_microseconds()?;
    let number = passed_us.div_euclid(interval_us).checked_add(1)?;
    anchor_at.checked_add_signed(TimeDelta::microseconds(number.checked_mul(interval_us)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn every(seconds: u64, anchor: &str) -> Times {
        let when = When::Every { interval: Duration::from_secs(seconds), anchor_at: at(anchor) };
        Times { when, starts_at: None, ends_at: None }
    }

    #[test]
    fn an_interval_lies_on_its_anchor() {
        let times = every(90, "2026-01-01T00:00:30Z");
        assert_eq!(times.next_after(at("2026-01-01T00:00:30Z")), Some(at("2026-01-01T00:02:00Z")));
        assert_eq!(times.next_after(at("2026-01-01T00:00:29.999999Z")), Some(at("2026-01-01T00:00:30Z")));
        assert_eq!(times.next_after(at("2025-12-31T23:59:00Z")), Some(at("2026-01-01T00:00:30Z")));
        assert_eq!(times.next_after(at("2025-12-31T23:58:59Z")), Some(at("2025-12-31T23:59:00Z")));
    }

    #[test]
    fn nothing_lies_before_the_start_or_after_the_end() {
        let mut times = every(60, "2026-01-01T00:00:00Z");
        times.starts_at = Some(at("2026-01-01T10:00:00Z"));
        times.ends_at = Some(at("2026-01-01T10:01:00Z"));
        let all = times.list_after(at("2026-01-01T00:00:00Z"), 9);
        assert_eq!(all, [at("2026-01-01T10:00:00Z"), at("2026-01-01T10:01:00Z")]);
    }

    #[test]
    fn one_time_comes_once() {
        let times = Times { when: When::Once(at("2026-01-01T00:00:00Z")), starts_at: None, ends_at: None };
        assert_eq!(times.list_after(at("2025-01-01T00:00:00Z"), 5), [at("2026-01-01T00:00:00Z")]);
        assert_eq!(times.next_after(at("2026-01-01T00:00:00Z")), None);
    }

    proptest! {
        #[test]
        fn an_interval_strictly_increases_and_leaves_nothing_out(
            interval_ms in 1_000..10_000_000_u64, anchor_s in -4_000_000_000..4_000_000_000_i64,
            after_ms in -4_000_000_000_000..4_000_000_000_000_i64,
        ) {
            let anchor_at = DateTime::from_timestamp(anchor_s, 0).unwrap();
            let when = When::Every { interval: Duration::from_millis(interval_ms), anchor_at };
            let times = Times { when, starts_at: None, ends_at: None };
            let after = DateTime::from_timestamp_millis(after_ms).unwrap();
            let next = times.next_after(after).unwrap();
            let distance = (next - after).num_milliseconds();
            prop_assert!(distance > 0 && distance <= interval_ms.cast_signed());
            prop_assert_eq!((next - anchor_at).num_milliseconds() % interval_ms.cast_signed(), 0);
        }
    }
}
