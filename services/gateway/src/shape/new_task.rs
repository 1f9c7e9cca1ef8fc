//! A task to be created.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::value::RawValue;
use taskyard_core::limits::{
    ATTEMPTS_MAX, BACKOFF_MAX, BACKOFF_MIN, DESCRIPTION_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX, LABELS_MAX,
    PAYLOAD_BYTES_MAX, PRIORITY_DEFAULT, PRIORITY_MAX, QUEUE_DEFAULT, RETRY_DELAY_MAX, TIMEOUT_DEFAULT, TIMEOUT_MAX,
    TIMEOUT_MIN, TITLE_BYTES_MAX,
};
use taskyard_proto::{convert::timestamp_to_proto, v1};

use super::{described, time::from_millis};
use crate::read::{Map, Object};

/// A new task.
// Its limits are the tasks service's to check.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["kind"]))]
pub(crate) struct NewTask {
    /// A UUIDv7 of about now, chosen so that the request can be repeated; made by the server if it is left out.
    #[schemars(schema_with = "optional_id")]
    pub(crate) id: Option<String>,
    /// As the header `Idempotency-Key`.
    #[schemars(length(max = IDEMPOTENCY_KEY_BYTES_MAX), extend("x-bytes-max" = IDEMPOTENCY_KEY_BYTES_MAX))]
    pub(crate) idempotency_key: Option<String>,
    /// Where it waits.
    #[schemars(schema_with = "described::optional_name", extend("default" = QUEUE_DEFAULT))]
    queue: Option<String>,
    /// What a worker must know how to run. `manual` is for people and never dispatched.
    #[schemars(schema_with = "described::required_name")]
    kind: Option<String>,
    /// For people.
    #[schemars(length(max = TITLE_BYTES_MAX), extend("x-bytes-max" = TITLE_BYTES_MAX))]
    title: Option<String>,
    /// For people.
    #[schemars(length(max = DESCRIPTION_BYTES_MAX), extend("x-bytes-max" = DESCRIPTION_BYTES_MAX))]
    description: Option<String>,
    /// Any JSON document, given to the worker byte for byte.
    #[schemars(extend("x-bytes-max" = PAYLOAD_BYTES_MAX))]
    payload: Option<Box<RawValue>>,
    /// What it can be found by.
    #[schemars(schema_with = "described::optional_labels")]
    labels: Option<Map<String, LABELS_MAX>>,
    /// Higher first.
    #[schemars(range(max = PRIORITY_MAX), extend("default" = PRIORITY_DEFAULT))]
    priority: Option<u32>,
    /// It starts no earlier. At most 366 days ahead; not together with `delay_ms`.
    due_at: Option<DateTime<Utc>>,
    /// It starts no earlier than so long after the create.
    #[schemars(range(max = described::DELAY_MS_MAX))]
    delay_ms: Option<u64>,
    /// The longest one run may take.
    #[schemars(range(min = millis(TIMEOUT_MIN), max = millis(TIMEOUT_MAX)), extend("default" = millis(TIMEOUT_DEFAULT)))]
    timeout_ms: Option<u64>,
    /// How often and how fast it is tried again.
    retry: Option<Object<Retry>>,
}

/// How often and how fast a failed task is tried again: the n-th retry comes after a time that is drawn evenly from 0
/// to `backoff_ms` * 2^(n-1), at most `backoff_max_ms`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "NewRetry")]
pub(super) struct Retry {
    /// How often it is tried; 10 if it is 0.
    #[schemars(range(max = ATTEMPTS_MAX), extend("default" = 10))]
    attempts_max: Option<u32>,
    /// The first backoff.
    #[schemars(range(min = millis(BACKOFF_MIN), max = millis(BACKOFF_MAX)), extend("default" = 1_000))]
    backoff_ms: Option<u64>,
    /// The longest backoff; at least `backoff_ms`.
    #[schemars(range(min = millis(BACKOFF_MIN), max = millis(RETRY_DELAY_MAX)), extend("default" = 3_600_000))]
    backoff_max_ms: Option<u64>,
}

const fn millis(time: Duration) -> u64 {
    time.as_secs() * 1_000 + time.subsec_millis() as u64
}

fn optional_id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "type": "string", "format": "uuid" }, { "type": "string", "maxLength": 0 }, { "type": "null" }] })
}

impl From<NewTask> for v1::NewTask {
    fn from(task: NewTask) -> Self {
        Self {
            id: task.id.unwrap_or_default(),
            idempotency_key: task.idempotency_key.unwrap_or_default(),
            queue: task.queue.unwrap_or_default(),
            kind: task.kind.unwrap_or_default(),
            title: task.title.unwrap_or_default(),
            description: task.description.unwrap_or_default(),
            // The client's own bytes.
            payload: task.payload.map(|payload| String::from(Box::<str>::from(payload)).into()).unwrap_or_default(),
            labels: task.labels.map(|labels| labels.0).unwrap_or_default(),
            priority: task.priority,
            due_time: task.due_at.map(timestamp_to_proto),
            delay: task.delay_ms.map(from_millis),
            timeout: task.timeout_ms.map(from_millis),
            retry: task.retry.map(|Object(retry)| retry_to_proto(retry)),
        }
    }
}

pub(super) fn retry_to_proto(retry: Retry) -> v1::RetryPolicy {
    v1::RetryPolicy {
        attempts_max: retry.attempts_max.unwrap_or_default(),
        backoff: retry.backoff_ms.map(from_millis),
        backoff_max: retry.backoff_max_ms.map(from_millis),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::from_json;

    #[test]
    fn every_field_is_read() {
        let task: NewTask = from_json(
            br#"{"id":"i","idempotency_key":"k","queue":"q","kind":"echo","title":"t","description":"d",
                "payload": {"a": [1.00, 2]}, "labels":{"x":"y"},"priority":7,"due_at":"2026-01-02T03:04:05.5+02:00",
                "delay_ms":1500,"timeout_ms":60000,"retry":{"attempts_max":3,"backoff_ms":250,"backoff_max_ms":1000}}"#,
        )
        .unwrap();
        let seconds = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
        let expected = v1::NewTask {
            id: "i".into(),
            idempotency_key: "k".into(),
            queue: "q".into(),
            kind: "echo".into(),
            title: "t".into(),
            description: "d".into(),
            payload: r#"{"a": [1.00, 2]}"#.into(),
            labels: [("x".to_owned(), "y".to_owned())].into(),
            priority: Some(7),
            due_time: Some(prost_types::Timestamp { seconds: 1_767_315_845, nanos: 500_000_000 }),
            delay: seconds(1, 500_000_000),
            timeout: seconds(60, 0),
            retry: Some(v1::RetryPolicy {
                attempts_max: 3,
                backoff: seconds(0, 250_000_000),
                backoff_max: seconds(1, 0),
            }),
        };
        assert_eq!(v1::NewTask::from(task), expected);
        let nothing: NewTask = from_json(b"{}").unwrap();
        assert_eq!(v1::NewTask::from(nothing), v1::NewTask::default());
    }

    #[test]
    fn a_wrong_field_is_named() {
        let wrong = |text: &str| from_json::<NewTask>(text.as_bytes()).unwrap_err().violations[0].field.clone();
        assert_eq!(wrong(r#"{"retry":{"attempts":3}}"#), "retry.attempts");
        assert_eq!(wrong(r#"{"retry":[3,250,1000]}"#), "retry");
        assert_eq!(wrong(r#"{"delay_ms":-1}"#), "delay_ms");
        assert_eq!(wrong(r#"{"due_at":"tomorrow"}"#), "due_at");
        assert_eq!(wrong(r#"{"labels":{"a":1}}"#), "labels.a");
    }
}
