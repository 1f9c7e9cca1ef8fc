//! `taskyard migrate`.

use std::process::ExitCode;

use anyhow::Context;
use taskyard_runtime::{
    config::{LogArgs, PostgresArgs, Problems},
    telemetry,
};

use crate::{exit::Outcome, output::note};

/// Which database.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    postgres: PostgresArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Migrates. It can be repeated, and others may do the same at the same time.
pub async fn run(args: Args) -> Outcome {
    let mut problems = Problems::default();
    let postgres = args.postgres.require(&mut problems);
    let postgres = problems.finish(postgres)?;
    telemetry::init(&args.log)?;
    taskyard_tasks::migrate(postgres.url.expose()).await.context("the schema could not be brought up to date")?;
    note("the schema is up to date");
    Ok(ExitCode::SUCCESS)
}
