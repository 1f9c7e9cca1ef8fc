//! `taskyard task complete`.

use std::process::ExitCode;

use taskyard_core::limits;

use crate::{exit::Outcome, json, read::Document, server::ServerArgs, text};

/// Which task, and with what result.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The task's id
    id: String,
    /// The result: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON")]
    result: Option<Document>,
}

/// Completes it.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let result = args.result.map(|result| result.read("--result", limits::RESULT_BYTES_MAX)).transpose()?;
    let task = server.connect().await?.complete_task(args.id, result.unwrap_or_default()).await?;
    let mut output = server.output();
    if output.is_json() {
        output.json(&json::Task::from(task))?;
    } else {
        output.line(&text::headline(&task))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}
