//! A task.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use taskyard_client::v1;

use super::time::{Time, millis, time};
use crate::text::state_name;

/// A task. Payload and result are there where one task is read, the result once there is one.
#[derive(Debug, Serialize)]
pub struct Task {
    id: String,
    namespace: String,
    queue: String,
    kind: String,
    state: String,
    title: String,
    description: String,
    labels: BTreeMap<String, String>,
    priority: u32,
    creator: String,
    created_at: Option<Time>,
    due_at: Option<Time>,
    started_at: Option<Time>,
    finished_at: Option<Time>,
    timeout_ms: Option<u64>,
    retry: Option<Retry>,
    version: u32,
    run: u32,
    attempt: u32,
    error: Option<String>,
    progress: Option<Progress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Retry {
    attempts_max: u32,
    backoff_ms: Option<u64>,
    backoff_max_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Progress {
    percent: u32,
    message: String,
}

impl From<v1::Task> for Task {
    fn from(task: v1::Task) -> Self {
        Self {
            id: task.id,
            namespace: task.namespace,
            queue: task.queue,
            kind: task.kind,
            state: state_name(task.state),
            title: task.title,
            description: task.description,
            labels: task.labels,
            priority: task.priority,
            creator: task.creator,
            created_at: time(task.create_time),
            due_at: time(task.due_time),
            started_at: time(task.start_time),
            finished_at: time(task.finish_time),
            timeout_ms: millis(task.timeout),
            retry: task.retry.map(Retry::from),
            version: task.version,
            run: task.run,
            attempt: task.attempt,
            error: Some(task.error).filter(|error| !error.is_empty()),
            progress: task.progress.map(|progress| Progress { percent: progress.percent, message: progress.message }),
            payload: document(&task.payload),
            result: document(&task.result),
        }
    }
}

impl From<v1::RetryPolicy> for Retry {
    fn from(retry: v1::RetryPolicy) -> Self {
        Self {
            attempts_max: retry.attempts_max,
            backoff_ms: millis(retry.backoff),
            backoff_max_ms: millis(retry.backoff_max),
        }
    }
}

/// A document as it is; should it be no JSON, its text.
pub(super) fn document(bytes: &[u8]) -> Option<Box<RawValue>> {
    if bytes.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(bytes);
    serde_json::from_str(&text).or_else(|_| to_raw_value(&text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_stay_as_they_are() {
        let task = v1::Task { payload: r#"{"a": 1.00}"#.into(), result: "{".into(), ..Default::default() };
        let text = serde_json::to_string(&Task::from(task)).unwrap();
        assert!(text.ends_with(r#""payload":{"a": 1.00},"result":"{"}"#), "{text}");
    }
}
