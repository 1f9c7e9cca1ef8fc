//! `taskyard schedule get`.

use std::process::ExitCode;

use chrono::Utc;

use crate::{exit::Outcome, json, server::ServerArgs, text};

/// Which schedule.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The schedule
    name: String,
}

/// Shows it.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let schedule = server.connect().await?.get_schedule(args.name).await?;
    let mut output = server.output();
    if output.is_json() {
        output.json(&json::Schedule::from(schedule))?;
    } else {
        output.line(&text::schedule(&schedule, Utc::now()))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}
