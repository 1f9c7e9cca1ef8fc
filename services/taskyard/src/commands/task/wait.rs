//! Waiting for a task's end.

use std::process::ExitCode;

use anyhow::Result;
use chrono::Utc;
use indicatif::ProgressBar;
use taskyard_client::{Client, WatchMessage, v1};
use taskyard_core::TaskState;

use crate::{
    exit::Outcome,
    json,
    output::{Output, is_watched},
    progress,
    text::{self, clean, state_name},
};

/// Follows a task to its end, with a bar for people, and shows it. A failure unless it is completed.
pub async fn for_end(client: &Client, id: &str, output: &mut Output) -> Outcome {
    let bar = if is_watched() { progress::percent() } else { ProgressBar::hidden() };
    let ended = end_of(client, id, &bar).await;
    bar.finish_and_clear();
    let task = ended?;
    let completed = task.state() == v1::TaskState::Completed;
    if output.is_json() {
        output.json(&json::Task::from(task))?;
    } else {
        output.line(&text::task(&task, Utc::now()))?;
    }
    output.flush()?;
    Ok(if completed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn end_of(client: &Client, id: &str, bar: &ProgressBar) -> Result<v1::Task> {
    let request = v1::WatchTasksRequest { task_id: id.to_owned(), progress: true, ..Default::default() };
    let mut watch = client.watch(request);
    loop {
        match watch.next().await? {
            WatchMessage::Progress(told) => {
                let progress = told.progress.unwrap_or_default();
                bar.set_position(progress.percent.into());
                bar.set_message(clean(&progress.message));
                continue;
            }
            WatchMessage::Event(event) if !is_finished(event.to_state) => {
                if event.to_state() != v1::TaskState::Running {
                    bar.set_position(0);
                }
                bar.set_message(state_name(event.to_state));
                continue;
            }
            // What came before the watch, or in a gap, stands in the task; what comes later is told.
            WatchMessage::Opened { .. } | WatchMessage::Reset { .. } | WatchMessage::Event(_) => {}
        }
        let task = client.get_task(id).await?;
        if is_finished(task.state) {
            return Ok(task);
        }
        bar.set_message(state_name(task.state));
    }
}

fn is_finished(state: i32) -> bool {
    i16::try_from(state).ok().and_then(TaskState::from_number).is_some_and(TaskState::is_finished)
}
