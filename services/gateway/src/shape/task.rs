//! A task as it stands.

use std::collections::BTreeMap;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use taskyard_core::{Error, Result, limits::PRIORITY_MAX};
use taskyard_proto::{convert, v1};

use super::{
    described,
    time::{Time, millis, time},
};

/// A task. Payload and result are there when one task is read, the result once there is one.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Task {
    #[schemars(extend("format" = "uuid"))]
    pub(crate) id: String,
    namespace: String,
    queue: String,
    kind: String,
    /// `open` is manual, for a person; `dead` has failed for good.
    #[schemars(schema_with = "described::state")]
    state: String,
    title: String,
    description: String,
    labels: BTreeMap<String, String>,
    #[schemars(range(max = PRIORITY_MAX))]
    priority: u32,
    /// Who created it.
    creator: String,
    created_at: Option<Time>,
    /// When it may start or could have started.
    due_at: Option<Time>,
    /// The newest run's start.
    started_at: Option<Time>,
    finished_at: Option<Time>,
    /// The longest one run may take.
    timeout_ms: Option<u64>,
    retry: Option<Retry>,
    /// Grows by one with every change; the ETag.
    #[schemars(range(min = 1))]
    pub(crate) version: u32,
    /// Grows by one with every start.
    run: u32,
    /// Failures, timeouts and lost workers so far.
    attempt: u32,
    /// Why the last attempt failed, or the task was canceled.
    error: Option<String>,
    /// How far the present run has come, if it has told.
    pub(crate) progress: Option<Progress>,
    /// As it was given; only where one task is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
    /// As it was given, once there is one; only where one task is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
}

/// How often and how fast a failed task is tried again.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Retry {
    attempts_max: u32,
    backoff_ms: Option<u64>,
    backoff_max_ms: Option<u64>,
}

/// How far a run has come.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Progress {
    #[schemars(range(max = 100))]
    percent: u32,
    message: String,
}

impl TryFrom<v1::Task> for Task {
    type Error = Error;

    fn try_from(task: v1::Task) -> Result<Self> {
        Ok(Self {
            id: task.id,
            namespace: task.namespace,
            queue: task.queue,
            kind: task.kind,
            state: state(task.state),
            title: task.title,
            description: task.description,
            labels: task.labels,
            priority: task.priority,
            creator: task.creator,
            created_at: time(task.create_time)?,
            due_at: time(task.due_time)?,
            started_at: time(task.start_time)?,
            finished_at: time(task.finish_time)?,
            timeout_ms: millis(task.timeout)?,
            retry: task.retry.map(Retry::try_from).transpose()?,
            version: task.version,
            run: task.run,
            attempt: task.attempt,
            error: Some(task.error).filter(|error| !error.is_empty()),
            progress: task.progress.map(|progress| Progress { percent: progress.percent, message: progress.message }),
            payload: document(&task.payload)?,
            result: document(&task.result)?,
        })
    }
}

impl TryFrom<v1::RetryPolicy> for Retry {
    type Error = Error;

    fn try_from(retry: v1::RetryPolicy) -> Result<Self> {
        Ok(Self {
            attempts_max: retry.attempts_max,
            backoff_ms: millis(retry.backoff)?,
            backoff_max_ms: millis(retry.backoff_max)?,
        })
    }
}

/// One page of tasks.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tasks {
    tasks: Vec<Task>,
    /// `null` at the end, and only then: a page may hold fewer tasks than asked for although more follow.
    next_page_token: Option<String>,
}

impl TryFrom<v1::ListTasksResponse> for Tasks {
    type Error = Error;

    fn try_from(page: v1::ListTasksResponse) -> Result<Self> {
        Ok(Self {
            tasks: page.tasks.into_iter().map(Task::try_from).collect::<Result<_>>()?,
            next_page_token: Some(page.next_page_token).filter(|token| !token.is_empty()),
        })
    }
}

/// A state's name; the number of one that this version does not know.
pub(super) fn state(number: i32) -> String {
    convert::state(number).map_or_else(|| format!("unknown_{number}"), |state| state.as_str().to_owned())
}

pub(super) fn document(bytes: &Bytes) -> Result<Option<Box<RawValue>>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(bytes.to_vec()).map_err(Error::internal)?;
    RawValue::from_string(text).map(Some).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_shown() {
        let task = v1::Task {
            id: "0190b5a0-0000-7000-8000-000000000000".into(),
            namespace: "default".into(),
            queue: "default".into(),
            kind: "echo".into(),
            state: 6,
            create_time: Some(prost_types::Timestamp { seconds: 1_767_315_845, nanos: 250_000_000 }),
            timeout: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
            retry: Some(v1::RetryPolicy {
                attempts_max: 10,
                backoff: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
                backoff_max: None,
            }),
            priority: 5,
            version: 4,
            run: 2,
            attempt: 1,
            error: "it broke".into(),
            payload: r#"{"a": 1.00}"#.into(),
            ..Default::default()
        };
        let shown = serde_json::to_string(&Task::try_from(task).unwrap()).unwrap();
        assert_eq!(
            shown,
            r#"{"id":"0190b5a0-0000-7000-8000-000000000000","namespace":"default","queue":"default","kind":"echo","state":"dead","title":"","description":"","labels":{},"priority":5,"creator":"","created_at":"2026-01-02T01:04:05.250000Z","due_at":null,"started_at":null,"finished_at":null,"timeout_ms":3600000,"retry":{"attempts_max":10,"backoff_ms":1000,"backoff_max_ms":null},"version":4,"run":2,"attempt":1,"error":"it broke","progress":null,"payload":{"a": 1.00}}"#
        );
    }

    #[test]
    fn what_the_server_should_not_say_is_an_error_and_no_panic() {
        let broken = v1::Task { payload: "{".into(), ..Default::default() };
        assert!(Task::try_from(broken).is_err());
        let late = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
        assert!(Task::try_from(v1::Task { due_time: late, ..Default::default() }).is_err());
        assert_eq!(Task::try_from(v1::Task { state: 99, ..Default::default() }).unwrap().state, "unknown_99");
    }
}
