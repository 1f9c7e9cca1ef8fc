//! What a list shows.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
use serde_json::json;
use taskyard_core::{Result, TaskState};
use taskyard_proto::{
    convert::{state_to_proto, timestamp_to_proto},
    v1,
};

use super::described;
use crate::{
    openapi::Parameter,
    read::{Object, Params},
};

/// What selects tasks; all conditions hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Filter {
    /// Any of these.
    #[serde(deserialize_with = "states")]
    #[schemars(schema_with = "described::state_or_states")]
    state: Vec<TaskState>,
    /// In this queue.
    #[schemars(schema_with = "described::optional_name")]
    queue: Option<String>,
    /// Of this kind.
    #[schemars(schema_with = "described::optional_name")]
    kind: Option<String>,
    /// Created at this time or later.
    created_after: Option<DateTime<Utc>>,
    /// Created earlier.
    created_before: Option<DateTime<Utc>>,
    /// Finished at this time or later.
    finished_after: Option<DateTime<Utc>>,
    /// Finished earlier.
    finished_before: Option<DateTime<Utc>>,
}

/// The body of a command for all tasks that match: a filter, and nothing else.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Selection {
    pub(crate) filter: Option<Object<Filter>>,
}

impl Filter {
    /// The query parameters of a filter.
    pub(crate) fn parameters() -> Vec<Parameter> {
        let states = TaskState::ALL.map(TaskState::as_str).join("|");
        let states = json!({ "type": "string", "pattern": format!("^(({states})(,({states}))*)?$"), "example": "dead,canceled" });
        let time = described::time;
        vec![
            Parameter::query("state", states, "Any of these states, with commas between."),
            Parameter::query("queue", described::name_or_none(), "In this queue."),
            Parameter::query("kind", described::name_or_none(), "Of this kind."),
            Parameter::query("created_after", time(), "Created at this time or later."),
            Parameter::query("created_before", time(), "Created earlier."),
            Parameter::query("finished_after", time(), "Finished at this time or later."),
            Parameter::query("finished_before", time(), "Finished earlier."),
        ]
    }

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
    pub(crate) const NAMES: [&str; 4] = ["created_desc", "created_asc", "finished_desc", "finished_asc"];

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
            // As `Order::NAMES` has them.
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
    fn an_order_is_read_by_its_name() {
        for name in Order::NAMES {
            assert!(name.parse::<Order>().is_ok(), "{name}");
        }
        let wrong = "up".parse::<Order>().unwrap_err();
        assert!(Order::NAMES.iter().all(|name| wrong.contains(name)), "{wrong}");
    }

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
