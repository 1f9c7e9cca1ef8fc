//! Times and durations.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use taskyard_core::{Error, Result};

/// The first and the last second that a protobuf timestamp may name: years 1 to 9999.
const SECONDS_MIN: i64 = -62_135_596_800;
const SECONDS_MAX: i64 = 253_402_300_799;

/// Reads a time. It is cut to microseconds, as the database keeps it.
///
/// # Errors
/// If it is not a time of the years 1 to 9999.
pub fn timestamp(field: &str, value: prost_types::Timestamp) -> Result<DateTime<Utc>> {
    let nanos = u32::try_from(value.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let time = (SECONDS_MIN..=SECONDS_MAX)
        .contains(&value.seconds)
        .then_some(nanos)
        .flatten()
        .and_then(|nanos| DateTime::from_timestamp(value.seconds, nanos));
    match time {
        Some(time) => Ok(time.trunc_subsecs(6)),
        None => Err(Error::invalid(
            field,
            format!(
                "{} s and {} ns since 1970 is not a time of the years 1 to 9999 with nanoseconds from 0 to 999,999,999",
                value.seconds, value.nanos
            ),
        )),
    }
}

/// A time as a message holds it.
#[must_use]
pub fn timestamp_to_proto(time: DateTime<Utc>) -> prost_types::Timestamp {
    // A leap second is written as the last nanosecond before it.
    let nanos = i32::try_from(time.timestamp_subsec_nanos().min(999_999_999)).unwrap_or_default();
    prost_types::Timestamp { seconds: time.timestamp(), nanos }
}

/// Reads a duration. It is cut to milliseconds, as the database keeps it.
///
/// # Errors
/// If it is negative or not well-formed.
pub fn duration(field: &str, value: prost_types::Duration) -> Result<Duration> {
    let seconds = u64::try_from(value.seconds).ok();
    let nanos = u32::try_from(value.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    match (seconds, nanos) {
        (Some(seconds), Some(nanos)) => Ok(Duration::new(seconds, nanos / 1_000_000 * 1_000_000)),
        _ => Err(Error::invalid(
            field,
            format!(
                "{} s and {} ns is not a duration of at least 0 with nanoseconds from 0 to 999,999,999",
                value.seconds, value.nanos
            ),
        )),
    }
}

/// A duration as a message holds it.
#[must_use]
pub fn duration_to_proto(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_timestamp_is_read_or_refused(seconds in any::<i64>(), nanos in any::<i32>()) {
            if let Ok(time) = timestamp("due_time", prost_types::Timestamp { seconds, nanos }) {
                prop_assert_eq!(timestamp_to_proto(time).seconds, seconds);
            }
        }

        #[test]
        fn a_timestamp_survives(seconds in SECONDS_MIN..=SECONDS_MAX, micros in 0..1_000_000i32) {
            let given = prost_types::Timestamp { seconds, nanos: micros * 1_000 };
            prop_assert_eq!(timestamp_to_proto(timestamp("due_time", given).unwrap()), given);
        }

        #[test]
        fn any_duration_is_read_or_refused(seconds in any::<i64>(), nanos in any::<i32>()) {
            let read = duration("delay", prost_types::Duration { seconds, nanos });
            prop_assert_eq!(read.is_ok(), seconds >= 0 && (0..1_000_000_000).contains(&nanos));
        }

        #[test]
        fn a_duration_survives(millis in 0..u64::MAX / 2) {
            let given = Duration::from_millis(millis);
            prop_assert_eq!(duration("delay", duration_to_proto(given)).unwrap(), given);
        }
    }
}
