//! What happened, and what else a watch tells.

use std::collections::BTreeMap;

use serde::Serialize;
use taskyard_client::v1;

use super::time::{Time, time};
use crate::text::{event_name, state_name};

/// A change of a task.
#[derive(Debug, Serialize)]
pub struct Event {
    position: String,
    time: Option<Time>,
    #[serde(rename = "type")]
    kind_of_event: String,
    namespace: String,
    task_id: String,
    version: u32,
    from_state: Option<String>,
    to_state: Option<String>,
    queue: String,
    kind: String,
    title: String,
    labels: BTreeMap<String, String>,
    creator: String,
    run: u32,
    attempt: u32,
    error: Option<String>,
    reason: Option<String>,
    counted: bool,
}

/// What a watch tells between events. The types have no dot, so that they are never taken for events.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Mark {
    /// The watch is open: what follows is later than this.
    Opened {
        /// Where it began.
        position: String,
    },
    /// There is a gap: read the state anew.
    Reset {
        /// Where it goes on.
        position: String,
    },
    /// A running task has told how far it is.
    Progress {
        /// The task.
        task_id: String,
        /// Its run.
        run: u32,
        /// 0 to 100.
        percent: u32,
        /// In words.
        message: String,
    },
}

impl From<v1::Event> for Event {
    fn from(event: v1::Event) -> Self {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let some_state = |number: i32| (number != 0).then(|| state_name(number));
        Self {
            position: event.position,
            time: time(event.time),
            kind_of_event: event_name(event.r#type),
            namespace: event.namespace,
            task_id: event.task_id,
            version: event.version,
            from_state: some_state(event.from_state),
            to_state: some_state(event.to_state),
            queue: event.queue,
            kind: event.kind,
            title: event.title,
            labels: event.labels,
            creator: event.creator,
            run: event.run,
            attempt: event.attempt,
            error: some(event.error),
            reason: some(event.reason),
            counted: event.counted,
        }
    }
}

impl From<v1::TaskProgress> for Mark {
    fn from(told: v1::TaskProgress) -> Self {
        let progress = told.progress.unwrap_or_default();
        Self::Progress { task_id: told.task_id, run: told.run, percent: progress.percent, message: progress.message }
    }
}
