//! Times and durations.

use std::{borrow::Cow, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use taskyard_core::{Error, Result};
use taskyard_proto::convert;

/// A time, written as in RFC 3339, in UTC, to the microsecond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(DateTime<Utc>);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// A time of the tasks service.
pub(super) fn time(value: Option<prost_types::Timestamp>) -> Result<Option<Time>> {
    value.map(|value| convert::timestamp("time", value).map(Time).map_err(Error::internal)).transpose()
}

/// A duration of the tasks service.
pub(super) fn millis(value: Option<prost_types::Duration>) -> Result<Option<u64>> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    value.map(|value| convert::duration("duration", value).map(millis).map_err(Error::internal)).transpose()
}

/// A duration for the tasks service, which judges whether it is too long.
pub(super) fn from_millis(millis: u64) -> prost_types::Duration {
    convert::duration_to_proto(Duration::from_millis(millis))
}
