//! What a test expects to come, or never to come.

use std::{fmt::Debug, time::Duration};

use anyhow::{Context, Result};
use taskyard_core::ErrorCode;
use taskyard_proto::v1::{Assignment, CreateTasksResult, Stop, create_tasks_result};
use taskyard_tests::{Answer, RawWorker, SOON};

/// How long a test listens for what must not come.
pub const NEVER: Duration = Duration::from_millis(700);

/// The code with which a call was refused.
#[track_caller]
pub fn refused<T: Debug>(answer: Answer<T>) -> ErrorCode {
    answer.expect_err("it is refused").code
}

/// The fields that a refused call names.
#[track_caller]
pub fn wrong_fields<T: Debug>(answer: Answer<T>) -> Vec<String> {
    let error = answer.expect_err("it is refused");
    assert_eq!(error.code, ErrorCode::InvalidInput, "{error}");
    assert!(!error.message.is_empty());
    error.violations.into_iter().map(|violation| violation.field).collect()
}

/// What became of one task of a batch: its id and whether it is new, or the code and the field.
pub fn outcome(result: &CreateTasksResult) -> std::result::Result<(&str, bool), (&str, &str)> {
    match result.result.as_ref().expect("an answer for each") {
        create_tasks_result::Result::Created(created) => Ok((&created.id, created.created)),
        create_tasks_result::Result::Error(error) => Err((&error.code, &error.field)),
    }
}

/// Waits until the worker is told to stop something.
pub async fn next_stop(worker: &mut RawWorker) -> Result<Stop> {
    let deadline = tokio::time::Instant::now() + SOON;
    while worker.stops.is_empty() {
        let stepped = tokio::time::timeout_at(deadline, worker.step()).await.context("no stop came")?;
        anyhow::ensure!(stepped?, "the stream ended before the stop");
    }
    Ok(worker.stops.remove(0))
}

/// The next run, which must come.
pub async fn next_run(worker: &mut RawWorker) -> Result<Assignment> {
    worker.next_run(SOON).await?.context("no run came")
}

/// Fails if a run comes.
pub async fn no_run(worker: &mut RawWorker) -> Result<()> {
    if let Some(run) = worker.next_run(NEVER).await? {
        anyhow::bail!("a run came: {} run {} of queue {}", run.task_id, run.run, run.queue);
    }
    Ok(())
}
