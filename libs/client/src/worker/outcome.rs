//! How a run ended.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use taskyard_core::limits;
use taskyard_proto::{
    convert,
    v1::{self, result},
};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The work is done. The result is a JSON document of at most 1 MiB; `null` if empty.
    Completed(Bytes),
    /// The work failed; an attempt is spent.
    Failed {
        /// Why. Cut at 4 KiB.
        error: String,
        /// Do not try again, whatever attempts are left.
        fatal: bool,
        /// Try again no earlier than this.
        retry_after: Option<Duration>,
    },
    /// Handed back undone; no attempt is spent.
    Returned,
    /// Ended because [`Context::stopped`](super::Context::stopped) came.
    Stopped,
}

impl Outcome {
    /// Done, with a value as the result.
    pub fn completed<T: Serialize + ?Sized>(result: &T) -> Self {
        match serde_json::to_vec(result) {
            Ok(json) => Self::Completed(json.into()),
            Err(error) => Self::fatal(format!("the result cannot be written as JSON: {error}")),
        }
    }

    /// Failed; it is tried again while attempts are left.
    pub fn failed(error: impl Into<String>) -> Self {
        Self::Failed { error: error.into(), fatal: false, retry_after: None }
    }

    /// Failed for good.
    pub fn fatal(error: impl Into<String>) -> Self {
        Self::Failed { error: error.into(), fatal: true, retry_after: None }
    }

    /// As the pod is told.
    pub(super) fn into_proto(self) -> result::Outcome {
        match self {
            Self::Completed(json) if json.len() > limits::RESULT_BYTES_MAX => failed(&format!(
                "the result has {} bytes; at most {} are allowed",
                json.len(),
                limits::RESULT_BYTES_MAX
            )),
            Self::Completed(json) => completed(json, 0),
            Self::Failed { error, fatal, retry_after } => result::Outcome::Failed(v1::Failed {
                error: clean(&error),
                fatal,
                retry_after: retry_after.map(convert::duration_to_proto),
                timed_out: false,
            }),
            Self::Returned => returned(),
            Self::Stopped => stopped(),
        }
    }
}

pub(super) fn completed(result: Bytes, chunked_bytes: u64) -> result::Outcome {
    result::Outcome::Completed(v1::Completed { result, chunked_bytes })
}

/// A failure that may be tried again.
pub(super) fn failed(error: &str) -> result::Outcome {
    result::Outcome::Failed(v1::Failed { error: clean(error), ..v1::Failed::default() })
}

pub(super) fn timed_out(error: &str) -> result::Outcome {
    result::Outcome::Failed(v1::Failed { error: clean(error), timed_out: true, ..v1::Failed::default() })
}

pub(super) const fn returned() -> result::Outcome {
    result::Outcome::Returned(v1::Returned {})
}

pub(super) const fn stopped() -> result::Outcome {
    result::Outcome::Stopped(v1::Stopped {})
}

fn clean(error: &str) -> String {
    limits::clean_message(if error.is_empty() { "the handler gave no reason" } else { error }, limits::ERROR_BYTES_MAX)
}
