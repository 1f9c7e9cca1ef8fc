//! Tasks, their states and ids.

use taskyard_core::{Error, Result, TaskState, id, limits, task::Task};
use uuid::Uuid;

use super::{duration_to_proto, timestamp_to_proto};
use crate::v1;

/// Reads a task's id from a request.
///
/// # Errors
/// If it is missing or not a UUID.
pub fn read_task_id(field: &str, text: &str) -> Result<Uuid> {
    if text.is_empty() {
        return Err(Error::invalid(field, "is missing; it must be a task's id (a UUID)"));
    }
    id::parse_task_id(field, text)
}

/// Reads an id that is no task's.
///
/// # Errors
/// If it is missing or not a UUID.
pub fn read_uuid(field: &str, text: &str) -> Result<Uuid> {
    if text.is_empty() {
        return Err(Error::invalid(field, "is missing; it must be a UUID"));
    }
    id::parse_task_id(field, text)
}

/// A task as an answer shows it. Its namespace is shown by name.
#[must_use]
pub fn task_to_proto(task: Task, namespace: &str) -> v1::Task {
    v1::Task {
        id: task.id.to_string(),
        namespace: namespace.to_owned(),
        queue: task.queue,
        kind: task.kind,
        state: state_to_proto(task.state).into(),
        title: task.title,
        description: task.description,
        labels: task.labels,
        priority: task.priority.into(),
        creator: task.creator,
        create_time: Some(timestamp_to_proto(task.created_at)),
        due_time: task.due_at.map(timestamp_to_proto),
        start_time: task.started_at.map(timestamp_to_proto),
        finish_time: task.finished_at.map(timestamp_to_proto),
        timeout: Some(duration_to_proto(task.timeout)),
        retry: Some(v1::RetryPolicy {
            attempts_max: task.retry.attempts_max.into(),
            backoff: Some(duration_to_proto(task.retry.backoff)),
            backoff_max: Some(duration_to_proto(task.retry.backoff_max)),
        }),
        version: task.version,
        run: task.run,
        attempt: task.attempt.into(),
        error: task.error.unwrap_or_default(),
        progress: None,
        payload: task.payload.into(),
        result: task.result.into(),
    }
}

/// Reads a state. `None` for a number that this version does not know, the unspecified one included.
#[must_use]
pub fn state(number: i32) -> Option<TaskState> {
    TaskState::from_number(i16::try_from(number).ok()?)
}

/// A state as a message holds it.
#[must_use]
pub const fn state_to_proto(state: TaskState) -> v1::TaskState {
    match state {
        TaskState::Open => v1::TaskState::Open,
        TaskState::Scheduled => v1::TaskState::Scheduled,
        TaskState::Ready => v1::TaskState::Ready,
        TaskState::Running => v1::TaskState::Running,
        TaskState::Completed => v1::TaskState::Completed,
        TaskState::Dead => v1::TaskState::Dead,
        TaskState::Canceled => v1::TaskState::Canceled,
    }
}

/// A state that may be none (before the create, after the delete) as a message holds it.
#[must_use]
pub fn optional_state_to_proto(state: Option<TaskState>) -> v1::TaskState {
    state.map_or(v1::TaskState::Unspecified, state_to_proto)
}

/// Why one item of a batch was refused.
#[must_use]
pub fn item_error(error: &Error) -> v1::ItemError {
    v1::ItemError {
        code: error.code.as_str().to_owned(),
        message: limits::shorten(&error.message, limits::ERROR_BYTES_MAX).to_owned(),
        field: error.violations.first().map(|violation| violation.field.clone()).unwrap_or_default(),
        retryable: error.code.retryable(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_numbers_of_the_proto() {
        for known in TaskState::ALL {
            assert_eq!(i32::from(state_to_proto(known)), i32::from(known as i16));
            assert_eq!(state(state_to_proto(known).into()), Some(known));
            assert_eq!(state_to_proto(known).as_str_name(), format!("TASK_STATE_{}", known.as_str().to_uppercase()));
        }
        for unknown in [0, -1, 8, 65_537, i32::MAX, i32::MIN] {
            assert_eq!(state(unknown), None);
        }
    }

    #[test]
    fn ids_are_read_or_refused() {
        let id = id::new_task_id();
        assert_eq!(read_task_id("id", &id.to_string()).unwrap(), id);
        for bad in ["", "1", "ä", &"0".repeat(1_000_000)] {
            assert!(read_task_id("id", bad).is_err());
        }
    }
}
