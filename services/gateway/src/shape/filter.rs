//! What a list shows.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
use taskyard_core::{Result, TaskState};
use taskyard_proto::{
    convert::{state_to_proto, timestamp_to_proto},
    v1,
};

use crate::read::Params;

/// A filter as a JSON object.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Filter {
    #[serde(deserialize_with = "states")]
    state: Vec<TaskState>,
    queue: Option<String>,
    kind: Option<String>,
    created_after: Option<DateTime<Utc>>,
    created_before: Option<DateTime<Utc>>,
    finished_after: Option<DateTime<Utc>>,
    finished_before: Option<DateTime<Utc>>,
}

impl Filter {
    /// A filter as query parameters.
    pub(crate) fn from_params(params: &mut Params) -> Result<v1::TaskFilter> {
        Ok(v1::TaskFilter {
            states: numbers(&params.list("state")?),
            queue: params.text("queue"),
            kind: params.text("kind"),
            created_after: params.time("created_after")?,
            created_before: params.time("created_before")?,
            finished_after: params.time("finished_after")?,
            finished_before: params.time("finished_before")?,
        })
    }
}

impl From<Filter> for v1::TaskFilter {
    fn from(filter: Filter) -> Self {
        Self {
            states: numbers(&filter.state),
            queue: filter.queue.unwrap_or_default(),
            kind: filter.kind.unwrap_or_default(),
            created_after: filter.created_after.map(timestamp_to_proto),
            created_before: filter.created_before.map(timestamp_to_proto),
            finished_after: filter.finished_after.map(timestamp_to_proto),
            finished_before: filter.finished_before.map(timestamp_to_proto),
        }
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order(v1::TaskOrder);

impl Order {
    pub(crate) const fn number(self) -> i32 {
        self.0 as i32
    }
}

impl FromStr for Order {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "created_desc" => Ok(Self(v1::TaskOrder::CreatedDesc)),
            "created_asc" => Ok(Self(v1::TaskOrder::CreatedAsc)),
            "finished_desc" => Ok(Self(v1::TaskOrder::FinishedDesc)),
            "finished_asc" => Ok(Self(v1::TaskOrder::FinishedAsc)),
            _ => Err("is not an order; use created_desc, created_asc, finished_desc or finished_asc"),
        }
    }
}

fn numbers(states: &[TaskState]) -> Vec<i32> {
    states.iter().map(|state| state_to_proto(*state).into()).collect()
}

/// One state, or a list.
fn states<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<TaskState>, D::Error> {
    deserializer.deserialize_any(OneOrMore)
}

struct OneOrMore;

impl<'de> Visitor<'de> for OneOrMore {
    type Value = Vec<TaskState>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a state or a list of states")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<TaskState>, E> {
        text.parse().map(|state| vec![state]).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Vec<TaskState>, A::Error> {
        let mut states = Vec::new();
        while let Some(text) = texts.next_element::<String>()? {
            let state = text.parse().map_err(de::Error::custom)?;
            // Each once, so that the list stays short.
            if !states.contains(&state) {
                states.push(state);
            }
        }
        Ok(states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::from_json;

    #[test]
    fn a_filter_is_read() {
        let read = |text: &str| from_json::<Filter>(text.as_bytes()).map(v1::TaskFilter::from);
        assert_eq!(read(r#"{"state":"dead"}"#).unwrap().states, [6]);
        assert_eq!(read(r#"{"state":["dead","open"],"queue":"q"}"#).unwrap().states, [6, 1]);
        let wrong = |text: &str| read(text).unwrap_err().message;
        assert!(wrong(r#"{"state":["done"]}"#).contains("`done` is not a state; use open"));
        assert!(wrong(r#"{"state":1}"#).contains("expected a state or a list of states"));
        assert!(wrong(r#"{"title":"x"}"#).starts_with("title: unknown field"));
    }
}
