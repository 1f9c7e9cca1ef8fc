//! New tasks.

use taskyard_proto::v1::{NewTask, RetryPolicy};
use uuid::Uuid;

use crate::millis;

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

/// A policy with so many attempts and next to no delay.
pub fn retry_policy(attempts_max: u32) -> Option<RetryPolicy> {
    Some(RetryPolicy { attempts_max, backoff: millis(1), backoff_max: millis(1) })
}
