//! `taskyard tasks`.

use taskyard_runtime::{
    config::{LogArgs, OpsArgs, Problems},
    telemetry,
};
use taskyard_tasks::Config;

use crate::commands::listen;

/// What a pod of the tasks service is told.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    tasks: Config,
    #[command(flatten)]
    ops: OpsArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs a pod of the tasks service.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = args.tasks.check()?;
    telemetry::init(&args.log)?;
    let mut problems = Problems::default();
    let tasks = listen::bind(config.settings.listen, "--tasks-listen", &mut problems).await;
    let ops = listen::bind(args.ops.ops_listen, "--ops-listen", &mut problems).await;
    let (tasks, ops) = problems.finish(tasks.zip(ops))?;
    super::serve(ops, |health, metrics, stop| taskyard_tasks::run(config, tasks, health, metrics, stop)).await
}
