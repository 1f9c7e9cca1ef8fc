//! The same command for several tasks.

use std::process::ExitCode;

use taskyard_client::{Result, v1};

use crate::{
    exit::{self, Outcome},
    json,
    output::note,
    server::ServerArgs,
    text,
};

/// Calls `command` for each id and shows each answer. One that is refused does not hinder the others; then it is a
/// failure.
pub async fn each(
    server: &ServerArgs,
    ids: &[String],
    command: impl AsyncFn(&str) -> Result<Option<v1::Task>>,
) -> Outcome {
    let mut output = server.output();
    let mut code = ExitCode::SUCCESS;
    for id in ids {
        match command(id).await {
            Ok(Some(task)) if output.is_json() => output.json(&json::Task::from(task))?,
            Ok(Some(task)) => output.line(&text::headline(&task))?,
            Ok(None) if output.is_json() => {}
            Ok(None) => output.line(&format!("{id}  deleted"))?,
            Err(error) => {
                note(&format!("error: {id}: {}", exit::refusal(&error)));
                code = ExitCode::FAILURE;
            }
        }
        output.flush()?;
    }
    Ok(code)
}
