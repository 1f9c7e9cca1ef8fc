//! What a list shows.

use std::{collections::BTreeMap, fmt, str::FromStr};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
use serde_json::json;
use taskyard_core::{Error, Result, TaskState, limits::shorten};
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
    /// With all of these labels.
    #[schemars(schema_with = "described::labels")]
    labels: BTreeMap<String, String>,
    /// Created by this one: an e-mail address, or `key:` and a key's name.
    creator: Option<String>,
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
            Parameter::query("label", described::label(), "With this label; give it once for each."),
            Parameter::query("creator", json!({ "type": "string" }), "Created by this one, as tasks show it."),
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
            labels: labels(&params.texts("label"))?,
            creator: params.text("creator"),
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
            labels: filter.labels,
            creator: filter.creator.unwrap_or_default(),
        }
    }
}

/// Labels as query parameters: `key:value`, each in one of its own. A key with a colon can only be written in JSON.
fn labels(texts: &[String]) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for text in texts {
        let wrong = |what: &str| Error::invalid("label", format!("`{}` {what}", shorten(text, 60)));
        let (key, value) = text.split_once(':').ok_or_else(|| wrong("is not a label; write it like team:growth"))?;
        if labels.insert(key.to_owned(), value.to_owned()).is_some_and(|before| before != value) {
            return Err(wrong("contradicts another label: a task has one value of a key"));
        }
    }
    Ok(labels)
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
    fn labels_are_read() {
        let read = |texts: &[&str]| labels(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            read(&["a:b:c", "d:"]).unwrap(),
            [("a", "b:c"), ("d", "")].map(|(k, v)| (k.into(), v.into())).into()
        );
        assert!(read(&["a"]).unwrap_err().message.contains("team:growth"));
        assert!(read(&["a:b", "a:c"]).is_err());
        assert_eq!(read(&["a:b", "a:b"]).unwrap().len(), 1);
    }

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
        let labels = read(r#"{"labels":{"a:b":"c"},"creator":"me"}"#).unwrap();
        assert_eq!((labels.labels["a:b"].as_str(), labels.creator.as_str()), ("c", "me"));
        let wrong = |text: &str| read(text).unwrap_err().message;
        assert!(wrong(r#"{"state":["done"]}"#).contains("`done` is not a state; use open"));
        assert!(wrong(r#"{"state":1}"#).contains("expected a state or a list of states"));
        assert!(wrong(r#"{"title":"x"}"#).starts_with("title: unknown field"));
    }
}
