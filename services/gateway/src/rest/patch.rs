//! Changes of a task, as a JSON merge patch (RFC 7396).

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use taskyard_core::{
    Error, ErrorCode, Result,
    limits::{DESCRIPTION_BYTES_MAX, LABELS_MAX, PRIORITY_DEFAULT, PRIORITY_MAX, TITLE_BYTES_MAX},
};
use taskyard_proto::{convert::timestamp_to_proto, v1};
use taskyard_runtime::http_error::Problem;

use super::{ask::present, tasks::shown};
use crate::{
    app::App,
    read::{Call, IfMatch, JsonBody, Map, Params, TaskId},
    shape::described,
};

/// How often labels are merged anew because somebody else changed the task meanwhile.
const MERGES_MAX: usize = 5;
/// All labels removed and as many set.
const LABEL_CHANGES_MAX: usize = 2 * LABELS_MAX;

/// A JSON merge patch (RFC 7396): what is left out stays, `null` is as if the task had been created without it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TaskPatch", extend("minProperties" = 1))]
pub(super) struct Patch {
    #[serde(default)]
    #[schemars(with = "Option<String>", length(max = TITLE_BYTES_MAX), extend("x-bytes-max" = TITLE_BYTES_MAX))]
    title: Change<String>,
    #[serde(default)]
    #[schemars(with = "Option<String>", length(max = DESCRIPTION_BYTES_MAX))]
    #[schemars(extend("x-bytes-max" = DESCRIPTION_BYTES_MAX))]
    description: Change<String>,
    /// Merged with those that are there; `null` removes one.
    #[serde(default)]
    #[schemars(schema_with = "described::label_changes")]
    labels: Change<Map<Option<String>, LABEL_CHANGES_MAX>>,
    #[serde(default)]
    #[schemars(with = "Option<u32>", range(max = PRIORITY_MAX))]
    priority: Change<u32>,
    /// It starts no earlier; `null` is now.
    #[serde(default)]
    #[schemars(with = "Option<DateTime<Utc>>")]
    due_at: Change<DateTime<Utc>>,
}

#[derive(Clone, Debug, Default)]
enum Change<T> {
    #[default]
    Keep,
    Reset,
    To(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Reset, Self::To))
    }
}

/// `PATCH /v1/tasks/{id}`
pub(super) async fn update(
    State(app): State<App>,
    call: Call,
    TaskId(id): TaskId,
    IfMatch(asked): IfMatch,
    params: Params,
    body: JsonBody<Patch>,
) -> Result<Response, Problem> {
    params.finish()?;
    let patch = body.value;
    let (mut update, mut paths) = patch.without_labels();
    let merged = match patch.labels {
        Change::Keep => None,
        Change::Reset => {
            paths.push("labels".to_owned());
            None
        }
        Change::To(Map(labels)) => {
            paths.push("labels".to_owned());
            Some(labels)
        }
    };
    if paths.is_empty() {
        let message = "changes nothing; it must hold title, description, labels, priority or due_at";
        return Err(Error::invalid("body", message).into());
    }
    let mut merges = 0;
    loop {
        let mut version = asked.unwrap_or_default();
        if let Some(changes) = &merged {
            // The tasks service knows labels as a whole; the version keeps what others change meanwhile.
            let request = v1::GetTaskRequest { id: id.clone() };
            let read = app.ask(&call, request, |pod, message| async { pod.tasks().get_task(message).await }).await?;
            let read = present(read.task)?;
            update.labels = merge(read.labels, changes);
            if asked.is_none() {
                version = read.version;
            }
        }
        let update_mask = Some(prost_types::FieldMask { paths: paths.clone() });
        let request = v1::UpdateTaskRequest { id: id.clone(), task: Some(update.clone()), update_mask, version };
        match app.ask(&call, request, |pod, message| async { pod.tasks().update_task(message).await }).await {
            Err(error)
                if error.code == ErrorCode::VersionMismatch
                    && asked.is_none()
                    && merged.is_some()
                    && merges < MERGES_MAX =>
            {
                merges += 1;
            }
            answer => return Ok(shown(answer?.task)?),
        }
    }
}

impl Patch {
    /// The new values but for the labels, and the names of what changes.
    fn without_labels(&self) -> (v1::TaskUpdate, Vec<String>) {
        let mut update = v1::TaskUpdate::default();
        let mut paths = Vec::new();
        if let Some(title) = self.title.value(String::new) {
            update.title = title;
            paths.push("title".to_owned());
        }
        if let Some(description) = self.description.value(String::new) {
            update.description = description;
            paths.push("description".to_owned());
        }
        if let Some(priority) = self.priority.value(|| PRIORITY_DEFAULT.into()) {
            update.priority = priority;
            paths.push("priority".to_owned());
        }
        match self.due_at {
            Change::Keep => {}
            // Named without a value: now.
            Change::Reset => paths.push("due_time".to_owned()),
            Change::To(due) => {
                update.due_time = Some(timestamp_to_proto(due));
                paths.push("due_time".to_owned());
            }
        }
        (update, paths)
    }
}

impl<T: Clone> Change<T> {
    fn value(&self, reset: impl FnOnce() -> T) -> Option<T> {
        match self {
            Self::Keep => None,
            Self::Reset => Some(reset()),
            Self::To(value) => Some(value.clone()),
        }
    }
}

fn merge(mut labels: BTreeMap<String, String>, changes: &BTreeMap<String, Option<String>>) -> BTreeMap<String, String> {
    for (key, value) in changes {
        match value {
            Some(value) => labels.insert(key.clone(), value.clone()),
            None => labels.remove(key),
        };
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::from_json;

    #[test]
    fn what_is_left_out_stays_and_null_resets() {
        let patch: Patch = from_json(br#"{"title":null,"priority":null,"due_at":null}"#).unwrap();
        let (update, paths) = patch.without_labels();
        assert_eq!(paths, ["title", "priority", "due_time"]);
        assert_eq!(update, v1::TaskUpdate { priority: 5, ..Default::default() });
        assert!(matches!(patch.labels, Change::Keep));
        assert!(from_json::<Patch>(br#"{"state":"dead"}"#).is_err());
    }

    #[test]
    fn labels_are_merged() {
        let map = |text: &str| serde_json::from_str(text).unwrap();
        let merged =
            merge(map(r#"{"a":"1","b":"2"}"#), &serde_json::from_str(r#"{"a":null,"c":"3","d":null}"#).unwrap());
        let expected: BTreeMap<String, String> = map(r#"{"b":"2","c":"3"}"#);
        assert_eq!(merged, expected);
    }
}
