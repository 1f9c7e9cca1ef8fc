//! A line as a task.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use taskyard_client::v1;
use taskyard_core::{ErrorCode, limits};
use taskyard_proto::convert::{duration_to_proto, timestamp_to_proto};

use super::lines::Line;

/// The longest line: a task has to fit into a request, with what the line does not say.
pub const LINE_BYTES_MAX: usize = limits::REQUEST_BYTES_MAX - 4_096;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What lines need not say.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// The queue of lines that name none.
    pub queue: String,
    /// The kind of lines that name none.
    pub kind: String,
}

/// Why a line is no task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// The stable code.
    pub code: String,
    /// What is wrong, with the field if one is.
    pub message: String,
}

/// Reads a line; none if it is blank. The values' limits are the server's to check.
pub fn read(line: &Line<'_>, defaults: &Defaults) -> Result<Option<v1::NewTask>, Bad> {
    let Some(bytes) = line.bytes else {
        let message = format!("is longer than {LINE_BYTES_MAX} bytes");
        return Err(Bad { code: ErrorCode::TooLarge.as_str().to_owned(), message });
    };
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).filter(|_| line.number == 1).unwrap_or(bytes).trim_ascii_end();
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| invalid(format!("is not UTF-8 (byte {})", error.valid_up_to() + 1)))?;
    // serde would take a list of values for a struct, too.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(invalid("is not a JSON object such as {\"kind\": \"http\", \"payload\": {}}"));
    }
    let mut task = v1::NewTask::from(object(text)?);
    if task.queue.is_empty() {
        task.queue.clone_from(&defaults.queue);
    }
    if task.kind.is_empty() {
        task.kind.clone_from(&defaults.kind);
    }
    // An id makes a create repeatable by itself.
    if task.id.is_empty() && task.idempotency_key.is_empty() {
        task.idempotency_key = key(line.number, bytes);
    }
    Ok(Some(task))
}

/// The same line of the same file has the same key; a line that stands twice is two tasks.
fn key(number: u64, bytes: &[u8]) -> String {
    let digest = Sha256::new().chain_update(number.to_be_bytes()).chain_update(bytes.trim_ascii()).finalize();
    digest.iter().fold("import-".to_owned(), |key, byte| key + &format!("{byte:02x}"))
}

fn object(text: &str) -> Result<NewTask, Bad> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let task = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let message = without_line(&error.into_inner());
        // Where the line ends too early, nobody knows the field.
        invalid(if matches!(path.as_str(), "." | "?") { message } else { format!("{path}: {message}") })
    })?;
    reader.end().map_err(|error| invalid(without_line(&error)))?;
    Ok(task)
}

/// Its line is always the first; ours has another number.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).map_or_else(|| text.clone(), |what| format!("{what} at column {}", error.column()))
}

fn invalid(message: impl Into<String>) -> Bad {
    Bad { code: ErrorCode::InvalidInput.as_str().to_owned(), message: message.into() }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NewTask {
    id: Option<String>,
    idempotency_key: Option<String>,
    queue: Option<String>,
    kind: Option<String>,
    title: Option<String>,
    description: Option<String>,
    payload: Option<Box<RawValue>>,
    labels: Option<BTreeMap<String, String>>,
    priority: Option<u32>,
    due_at: Option<DateTime<Utc>>,
    delay_ms: Option<u64>,
    timeout_ms: Option<u64>,
    retry: Option<Retry>,
}

/// Read as a map, which a list is never taken for.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, Option<u64>>")]
struct Retry {
    attempts_max: u32,
    backoff_ms: Option<u64>,
    backoff_max_ms: Option<u64>,
}

impl TryFrom<BTreeMap<String, Option<u64>>> for Retry {
    type Error = String;

    fn try_from(fields: BTreeMap<String, Option<u64>>) -> Result<Self, String> {
        let mut retry = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "attempts_max" => retry.attempts_max = u32::try_from(value.unwrap_or_default()).unwrap_or(u32::MAX),
                "backoff_ms" => retry.backoff_ms = value,
                "backoff_max_ms" => retry.backoff_max_ms = value,
                _ => {
                    let known = "`attempts_max`, `backoff_ms` or `backoff_max_ms`";
                    return Err(format!("unknown field `{}`, expected {known}", limits::shorten(&name, 60)));
                }
            }
        }
        Ok(retry)
    }
}

impl From<NewTask> for v1::NewTask {
    fn from(task: NewTask) -> Self {
        let millis = |millis| duration_to_proto(std::time::Duration::from_millis(millis));
        Self {
            id: task.id.unwrap_or_default(),
            idempotency_key: task.idempotency_key.unwrap_or_default(),
            queue: task.queue.unwrap_or_default(),
            kind: task.kind.unwrap_or_default(),
            title: task.title.unwrap_or_default(),
            description: task.description.unwrap_or_default(),
            // As it was written.
            payload: task.payload.map(|payload| String::from(Box::<str>::from(payload)).into()).unwrap_or_default(),
            labels: task.labels.unwrap_or_default(),
            priority: task.priority,
            due_time: task.due_at.map(timestamp_to_proto),
            delay: task.delay_ms.map(millis),
            timeout: task.timeout_ms.map(millis),
            retry: task.retry.map(|retry| v1::RetryPolicy {
                attempts_max: retry.attempts_max,
                backoff: retry.backoff_ms.map(millis),
                backoff_max: retry.backoff_max_ms.map(millis),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
