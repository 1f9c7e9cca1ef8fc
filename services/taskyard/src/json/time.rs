//! Times and durations.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use taskyard_proto::convert;

/// A time, written as in RFC 3339, in UTC, to the microsecond.
#[derive(Clone, Copy, Debug)]
pub struct Time(DateTime<Utc>);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

/// A server's time; none if it makes no sense.
pub fn time(value: Option<prost_types::Timestamp>) -> Option<Time> {
    convert::timestamp("time", value?).ok().map(Time)
}

/// A server's duration; none if it makes no sense.
pub fn millis(value: Option<prost_types::Duration>) -> Option<u64> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    convert::duration("duration", value?).ok().map(millis)
}
