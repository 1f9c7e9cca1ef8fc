//! Times as messages hold them.

use chrono::{DateTime, Utc};

pub fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

pub fn millis(millis: i64) -> Option<prost_types::Duration> {
    let nanos = i32::try_from(millis % 1_000).expect("below a second") * 1_000_000;
    Some(prost_types::Duration { seconds: millis / 1_000, nanos })
}

/// A time as a message holds it.
pub fn timestamp(time: DateTime<Utc>) -> Option<prost_types::Timestamp> {
    Some(taskyard_proto::convert::timestamp_to_proto(time))
}

pub fn time(timestamp: Option<prost_types::Timestamp>) -> DateTime<Utc> {
    let timestamp = timestamp.expect("a time");
    DateTime::from_timestamp(timestamp.seconds, u32::try_from(timestamp.nanos).expect("in range")).expect("in range")
}
