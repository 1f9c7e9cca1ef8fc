//! `taskyard worker`.

use taskyard_runtime::{
    config::{LogArgs, OpsArgs, Problems},
    telemetry,
};
use taskyard_worker::Config;

use crate::commands::listen;

/// What the worker for the built-in kinds is told.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    worker: Config,
    #[command(flatten)]
    ops: OpsArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs the worker.
pub async fn run(args: Args) -> anyhow::Result<()> {
    telemetry::init(&args.log)?;
    let mut problems = Problems::default();
    let ops = listen::bind(args.ops.ops_listen, "--ops-listen", &mut problems).await;
    let ops = problems.finish(ops)?;
    super::serve(ops, |health, _, stop| taskyard_worker::run(args.worker, health, stop)).await
}
