//! `taskyard task complete`.

use std::process::ExitCode;

use serde::Serialize;
use taskyard_core::limits;

use super::{filter::FilterArgs, sweep};
use crate::{exit::Outcome, json, read::Document, server::ServerArgs, text};

/// Which task, and with what result.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The task's id
    #[arg(required_unless_present = "all_open", conflicts_with_all = ["all_open", "FilterArgs"])]
    id: Option<String>,
    /// All manual tasks that match; something must be named that they match
    #[arg(long)]
    all_open: bool,
    #[command(flatten)]
    filter: FilterArgs,
    /// The result: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON")]
    result: Option<Document>,
}

#[derive(Serialize)]
struct Completed {
    completed: u64,
}

/// Completes it, or them.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let result = args.result.map(|result| result.read("--result", limits::RESULT_BYTES_MAX)).transpose()?;
    let result = result.unwrap_or_default();
    let client = server.connect().await?;
    let Some(id) = args.id else {
        let mut complete = client.complete_tasks(args.filter.into_filter(&[]), result);
        let completed =
            sweep::follow("completed", async || Ok(complete.next().await?.map(|told| told.completed))).await?;
        sweep::show(server, &Completed { completed }, &format!("{completed} tasks are completed"))?;
        return Ok(ExitCode::SUCCESS);
    };
    let task = client.complete_task(id, result).await?;
    let mut output = server.output();
    if output.is_json() {
        output.json(&json::Task::from(task))?;
    } else {
        output.line(&text::headline(&task))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}
