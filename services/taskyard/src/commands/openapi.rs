//! `taskyard openapi`.

use std::process::ExitCode;

use crate::{exit::Outcome, output::Output};

/// Prints the description of the REST API, as `/openapi.json` gives it.
pub fn run() -> Outcome {
    let mut output = Output::new(false);
    output.line(taskyard_gateway::openapi().trim_end())?;
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}
