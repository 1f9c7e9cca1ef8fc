//! `taskyard schedule run`.

use std::process::ExitCode;

use crate::{exit::Outcome, json, server::ServerArgs, text};

/// Which schedule.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The schedule
    name: String,
    /// An id of your choice for the task, a UUID of version 7: the same id makes no second task
    #[arg(long, value_name = "ID")]
    task_id: Option<String>,
}

/// Makes its task now and shows it.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let client = server.connect().await?;
    let id = client.trigger_schedule(args.name, args.task_id).await?;
    let task = client.get_task(&id).await?;
    let mut output = server.output();
    if output.is_json() {
        output.json(&json::Task::from(task))?;
    } else {
        output.line(&text::headline(&task))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}
