//! A new task, with every check.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use prost::Message;
use sha2::{Digest, Sha256};
use taskyard_core::{
    Error, Result, RetryPolicy, id, limits,
    task::{NewTask, Start},
};
use uuid::Uuid;

use super::{duration, timestamp, violations::Violations};
use crate::v1;

/// Reads a new task: checks every limit, fills in every default. `now` decides what lies ahead.
///
/// # Errors
/// One that names every field that is wrong, as the proto names them.
pub fn new_task(task: v1::NewTask, now: DateTime<Utc>) -> Result<NewTask> {
    let (task, fingerprint) = split_fingerprint(task);
    let mut wrong = Violations::default();

    let id = wrong.take(read_new_task_id("id", &task.id, now));
    wrong.take(limits::check_text("idempotency_key", &task.idempotency_key, limits::IDEMPOTENCY_KEY_BYTES_MAX));
    let queue = if task.queue.is_empty() { limits::QUEUE_DEFAULT.to_owned() } else { task.queue };
    wrong.take(limits::check_name("queue", &queue));
    wrong.take(limits::check_name("kind", &task.kind));
    wrong.take(limits::check_text("title", &task.title, limits::TITLE_BYTES_MAX));
    wrong.take(limits::check_text("description", &task.description, limits::DESCRIPTION_BYTES_MAX));
    let payload = if task.payload.is_empty() { b"null".to_vec() } else { task.payload.into() };
    wrong.take(limits::check_json("payload", &payload, limits::PAYLOAD_BYTES_MAX));
    wrong.take(limits::check_labels(&task.labels));
    let priority = wrong.take(priority(task.priority.unwrap_or(limits::PRIORITY_DEFAULT.into())));
    let start = wrong.take(start(task.due_time, task.delay, now));
    let timeout = wrong.take(timeout(task.timeout));
    let retry = retry(task.retry.unwrap_or_default(), &mut wrong);

    wrong.finish()?;
    let (Some(id), Some(priority), Some(start), Some(timeout)) = (id, priority, start, timeout) else {
        return Err(Error::internal("a field of a new task was refused without a reason"));
    };
    Ok(NewTask {
        id,
        idempotency_key: Some(task.idempotency_key).filter(|key| !key.is_empty()),
        fingerprint,
        queue,
        kind: task.kind,
        title: task.title,
        description: task.description,
        payload,
        labels: task.labels,
        priority,
        start,
        timeout,
        retry,
    })
}

/// Reads the id that a client chose for a new task; a new one if it chose none.
///
/// # Errors
/// If it is of another kind or time.
pub fn read_new_task_id(field: &str, text: &str, now: DateTime<Utc>) -> Result<Uuid> {
    if text.is_empty() {
        return Ok(id::new_task_id());
    }
    let id = id::parse_task_id(field, text)?;
    id::check_new_task_id(field, id, now)?;
    Ok(id)
}

/// What a request asks for, to tell a repetition from another request: the same whatever its id and idempotency key.
#[must_use]
pub fn fingerprint(task: &v1::NewTask) -> [u8; 16] {
    split_fingerprint(task.clone()).1
}

/// Reads a priority.
pub(super) fn priority(priority: u32) -> Result<u8> {
    u8::try_from(priority)
        .ok()
        .filter(|priority| *priority <= limits::PRIORITY_MAX)
        .ok_or_else(|| Error::invalid("priority", format!("is {priority}; it must be 0 to {}", limits::PRIORITY_MAX)))
}

/// Reads a time of start: one that has passed means now.
pub(super) fn start_at(due: prost_types::Timestamp, now: DateTime<Utc>) -> Result<Start> {
    let due = timestamp("due_time", due)?;
    if due <= now {
        return Ok(Start::Now);
    }
    if due - now > TimeDelta::from_std(limits::DUE_AHEAD_MAX).unwrap_or(TimeDelta::MAX) {
        return Err(Error::invalid("due_time", format!("is {due}; it must lie at most {} days ahead", ahead_days())));
    }
    Ok(Start::At(due))
}

fn split_fingerprint(mut task: v1::NewTask) -> (v1::NewTask, [u8; 16]) {
    let id = std::mem::take(&mut task.id);
    let key = std::mem::take(&mut task.idempotency_key);
    let hash: [u8; 32] = Sha256::digest(task.encode_to_vec()).into();
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&hash[..16]);
    task.id = id;
    task.idempotency_key = key;
    (task, fingerprint)
}

fn start(
    due: Option<prost_types::Timestamp>,
    delay: Option<prost_types::Duration>,
    now: DateTime<Utc>,
) -> Result<Start> {
    match (due, delay) {
        (None, None) => Ok(Start::Now),
        (Some(due), None) => start_at(due, now),
        (None, Some(delay)) => {
            let delay = duration("delay", delay)?;
            if delay > limits::DUE_AHEAD_MAX {
                return Err(Error::invalid("delay", format!("must be at most {} days", ahead_days())));
            }
            Ok(if delay.is_zero() { Start::Now } else { Start::After(delay) })
        }
        (Some(_), Some(_)) => Err(Error::invalid("delay", "cannot be given together with due_time; leave one out")),
    }
}

fn timeout(timeout: Option<prost_types::Duration>) -> Result<Duration> {
    let Some(timeout) = timeout else { return Ok(limits::TIMEOUT_DEFAULT) };
    let timeout = duration("timeout", timeout)?;
    within("timeout", timeout, limits::TIMEOUT_MIN, limits::TIMEOUT_MAX)
}

fn retry(policy: v1::RetryPolicy, wrong: &mut Violations) -> RetryPolicy {
    let default = RetryPolicy::default();
    let attempts_max = match policy.attempts_max {
        0 => default.attempts_max,
        given if given <= limits::ATTEMPTS_MAX => u16::try_from(given).unwrap_or(default.attempts_max),
        given => {
            wrong.add("retry.attempts_max", format!("is {given}; it must be 1 to {}", limits::ATTEMPTS_MAX));
            default.attempts_max
        }
    };
    let backoff = policy.backoff.map_or(Some(default.backoff), |given| {
        let read = duration("retry.backoff", given)
            .and_then(|given| within("retry.backoff", given, limits::BACKOFF_MIN, limits::BACKOFF_MAX));
        wrong.take(read)
    });
    // If the backoff itself is wrong, that is said once.
    let least = backoff.unwrap_or(limits::BACKOFF_MIN);
    let backoff_max = policy.backoff_max.map_or(Some(default.backoff_max.max(least)), |given| {
        let read = duration("retry.backoff_max", given)
            .and_then(|given| within("retry.backoff_max", given, least, limits::RETRY_DELAY_MAX));
        wrong.take(read)
    });
    RetryPolicy {
        attempts_max,
        backoff: backoff.unwrap_or(default.backoff),
        backoff_max: backoff_max.unwrap_or(default.backoff_max),
    }
}

fn within(field: &str, given: Duration, least: Duration, most: Duration) -> Result<Duration> {
    if (least..=most).contains(&given) {
        return Ok(given);
    }
    let (given, least, most) = (given.as_millis(), least.as_millis(), most.as_millis());
    Err(Error::invalid(field, format!("is {given} ms; it must be {least} to {most} ms")))
}

const fn ahead_days() -> u64 {
    limits::DUE_AHEAD_MAX.as_secs() / 86_400
}

#[cfg(test)]
mod tests;
