//! `taskyard schedule pause` and `resume`.

use std::process::ExitCode;

use super::show;
use crate::{exit::Outcome, server::ServerArgs};

/// Which schedule.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The schedule
    name: String,
}

/// Pauses it, or lets it go on.
pub async fn run(server: &ServerArgs, args: Args, paused: bool) -> Outcome {
    let client = server.connect().await?;
    let changed =
        if paused { client.pause_schedule(args.name).await? } else { client.resume_schedule(args.name).await? };
    show(&mut server.output(), changed)?;
    Ok(ExitCode::SUCCESS)
}
