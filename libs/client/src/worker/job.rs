//! What a handler is given.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use taskyard_core::limits;
use taskyard_proto::{convert, v1};
use uuid::Uuid;

use super::run_name::RunName;

/// One run of one task.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The task. It stays the same over all attempts: a key for whatever must happen once.
    pub task_id: Uuid,
    /// Grows by one with every start of the task, returns that spent no attempt included.
    pub run: u32,
    /// The namespace.
    pub namespace: String,
    /// The queue.
    pub queue: String,
    /// The kind.
    pub kind: String,
    /// The title.
    pub title: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// Attempts spent before this run.
    pub attempt: u32,
    /// Attempts in all.
    pub attempts_max: u32,
    /// The longest that this run may take.
    pub timeout: Duration,
    /// When the task was created.
    pub create_time: Option<DateTime<Utc>>,
    /// A JSON document.
    pub payload: Bytes,
}

impl Job {
    /// The payload as a value.
    ///
    /// # Errors
    /// If it is of another shape.
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.payload)
    }

    pub(super) fn new(name: RunName, assignment: v1::Assignment, payload: Bytes) -> Self {
        let timeout = assignment.timeout.and_then(|timeout| convert::duration("timeout", timeout).ok());
        let created = assignment.create_time.and_then(|time| convert::timestamp("create_time", time).ok());
        Self {
            task_id: name.task_id,
            run: name.run,
            namespace: assignment.namespace,
            queue: assignment.queue,
            kind: assignment.kind,
            title: assignment.title,
            labels: assignment.labels,
            attempt: assignment.attempt,
            attempts_max: assignment.attempts_max,
            timeout: timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(limits::TIMEOUT_DEFAULT),
            create_time: created,
            payload: if payload.is_empty() { Bytes::from_static(b"null") } else { payload },
        }
    }
}
