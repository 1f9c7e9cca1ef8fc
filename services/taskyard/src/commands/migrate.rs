//! `taskyard migrate`.

use std::{process::ExitCode, time::Duration};

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
    /// How many seconds to wait for a server that is not there yet
    #[arg(long, env = "TASKYARD_MIGRATE_WAIT_S", default_value_t = 0, value_name = "SECONDS")]
    wait_s: u64,
    #[command(flatten)]
    log: LogArgs,
}

/// Migrates. It can be repeated, and others may do the same at the same time.
pub async fn run(args: Args) -> Outcome {
    let mut problems = Problems::default();
    let postgres = args.postgres.require(&mut problems);
    let postgres = problems.finish(postgres)?;
    telemetry::init(&args.log)?;
    let wait = Duration::from_secs(args.wait_s);
    taskyard_tasks::setup::migrate(postgres.url.expose(), wait).await.context("the schema could not be brought up to date")?;
    note("the schema is up to date");
    Ok(ExitCode::SUCCESS)
}
