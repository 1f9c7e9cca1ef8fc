//! New tasks.

use taskyard_proto::v1::NewTask;
use uuid::Uuid;

/// A task of a kind, with an id of its own.
pub fn new_task(kind: &str) -> NewTask {
    NewTask { id: Uuid::now_v7().to_string(), kind: kind.to_owned(), ..NewTask::default() }
}

/// A task that does nothing.
pub fn noop() -> NewTask {
    new_task("noop")
}

/// A task for people.
pub fn manual() -> NewTask {
    new_task("manual")
}
