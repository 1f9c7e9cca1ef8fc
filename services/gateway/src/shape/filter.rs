//! What a list shows.

use std::{collections::BTreeMap, fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
use taskyard_core::{Error, Result, TaskState, limits::shorten};
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
    labels: BTreeMap<String, String>,
    creator: Option<String>,
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
            labels: labels(&params.texts("label"))?,
            creator: params.text("creator"),
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
