//! A task to be created.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use taskyard_core::limits::LABELS_MAX;
use taskyard_proto::{convert::timestamp_to_proto, v1};

use super::time::from_millis;
use crate::read::{Map, Object};

/// A new task. Its limits are the tasks service's to check.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NewTask {
    pub(crate) id: Option<String>,
    pub(crate) idempotency_key: Option<String>,
    queue: Option<String>,
    kind: Option<String>,
    title: Option<String>,
    description: Option<String>,
    payload: Option<Box<RawValue>>,
    labels: Option<Map<String, LABELS_MAX>>,
    priority: Option<u32>,
    due_at: Option<DateTime<Utc>>,
    delay_ms: Option<u64>,
    timeout_ms: Option<u64>,
    retry: Option<Object<Retry>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retry {
    attempts_max: Option<u32>,
    backoff_ms: Option<u64>,
    backoff_max_ms: Option<u64>,
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
