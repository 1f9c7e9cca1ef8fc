//! `taskyard task get`.

use std::process::ExitCode;

use chrono::Utc;

use crate::{exit::Outcome, json, server::ServerArgs, text};

/// Which task.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The task's id
    id: String,
}

/// Shows it.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let task = server.connect().await?.get_task(args.id).await?;
    let mut output = server.output();
    if output.is_json() {
        output.json(&json::Task::from(task))?;
    } else {
        output.line(&text::task(&task, Utc::now()))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}
