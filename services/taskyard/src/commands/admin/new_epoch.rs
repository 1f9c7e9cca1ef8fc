//! `taskyard admin new-epoch`.

use std::process::ExitCode;

use anyhow::Context;
use taskyard_runtime::config::{PostgresArgs, Problems};

use crate::{exit::Outcome, output::note};

/// Which database.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    postgres: PostgresArgs,
}

/// Begins a new epoch.
pub async fn run(args: Args) -> Outcome {
    let mut problems = Problems::default();
    let postgres = args.postgres.require(&mut problems);
    let postgres = problems.finish(postgres)?;
    taskyard_tasks::setup::advance_epoch(postgres.url.expose()).await.context("no new epoch was begun")?;
    note("a new epoch has begun: whoever reads events with an older position is told to read the state anew");
    Ok(ExitCode::SUCCESS)
}
