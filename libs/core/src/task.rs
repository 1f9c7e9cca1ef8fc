//! A task as the tasks service holds it.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{RetryPolicy, TaskState};

/// A namespace's number inside the database.
pub type Namespace = i32;

/// The kinds that our own worker runs.
pub const BUILT_IN_KINDS: [&str; 3] = ["http", "noop", "sleep"];

/// When a new task may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// As soon as a worker is free.
    Now,
    /// Not before this time.
    At(DateTime<Utc>),
    /// Not before this long after the create.
    After(Duration),
}

/// A task to be created, checked.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// The id, chosen by the client or by us.
    pub id: Uuid,
    /// A second create with this key answers with the first one's task.
    pub idempotency_key: Option<String>,
    /// What the request asks for, to tell a repetition from another request.
    pub fingerprint: [u8; 16],
    /// The queue.
    pub queue: String,
    /// What a worker must know how to run.
    pub kind: String,
    /// The title.
    pub title: String,
    /// The description.
    pub description: String,
    /// A JSON document.
    pub payload: Vec<u8>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// 0 to 9, higher first.
    pub priority: u8,
    /// When it may start.
    pub start: Start,
    /// The longest that one run may take.
    pub timeout: Duration,
    /// How often and how fast it is tried again.
    pub retry: RetryPolicy,
}

impl NewTask {
    /// A task for people.
    #[must_use]
    pub fn is_manual(&self) -> bool {
        self.kind == crate::limits::KIND_MANUAL
    }

    /// The bytes that it weighs in a group.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let labels: usize = self.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
        256 + self.title.len() + self.description.len() + self.payload.len() + labels
    }
}

/// A task as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The id.
    pub id: Uuid,
    /// The namespace.
    pub namespace: Namespace,
    /// The queue.
    pub queue: String,
    /// The kind.
    pub kind: String,
    /// The state.
    pub state: TaskState,
    /// The title.
    pub title: String,
    /// The description.
    pub description: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// 0 to 9, higher first.
    pub priority: u8,
    /// Who created it.
    pub creator: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it may or could start.
    pub due_at: Option<DateTime<Utc>>,
    /// The newest run's start.
    pub started_at: Option<DateTime<Utc>>,
    /// When it finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// The longest that one run may take.
    pub timeout: Duration,
    /// How often and how fast it is tried again.
    pub retry: RetryPolicy,
    /// Changes so far.
    pub version: u32,
    /// The newest run.
    pub run: u32,
    /// Attempts spent.
    pub attempt: u16,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// The payload, where it was asked for.
    pub payload: Vec<u8>,
    /// The result, where it was asked for and is there.
    pub result: Vec<u8>,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Order {
    /// Newest first.
    #[default]
    CreatedDesc,
    /// Oldest first.
    CreatedAsc,
    /// Last finished first.
    FinishedDesc,
    /// First finished first.
    FinishedAsc,
}

impl Order {
    /// Only finished tasks are listed, by the time of their finish.
    #[must_use]
    pub const fn is_by_finish(self) -> bool {
        matches!(self, Self::FinishedDesc | Self::FinishedAsc)
    }
}

/// What a list shows.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Filter {
    /// Any of these states; all if empty.
    pub states: Vec<TaskState>,
    /// This queue.
    pub queue: Option<String>,
    /// This kind.
    pub kind: Option<String>,
    /// Created at or after.
    pub created_after: Option<DateTime<Utc>>,
    /// Created before.
    pub created_before: Option<DateTime<Utc>>,
    /// Finished at or after.
    pub finished_after: Option<DateTime<Utc>>,
    /// Finished before.
    pub finished_before: Option<DateTime<Utc>>,
    /// All of these labels.
    pub labels: BTreeMap<String, String>,
    /// Created by this one.
    pub creator: Option<String>,
}

impl Filter {
    /// It selects by what only the search index has an order for.
    #[must_use]
    pub fn is_by_index(&self) -> bool {
        !self.labels.is_empty() || self.creator.is_some()
    }
}
