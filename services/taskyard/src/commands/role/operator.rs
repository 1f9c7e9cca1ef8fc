//! `taskyard operator`.

use taskyard_operator::OperatorArgs;
use taskyard_runtime::{
    config::{LogArgs, OpsArgs, Problems, TokenArgs},
    telemetry,
};

use crate::commands::listen;

/// What the operator is told.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    ops: OpsArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs the operator.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut problems = Problems::default();
    let token = args.token.require("the operator's key (tys_…)", &mut problems);
    let config = args.operator.check(&mut problems);
    let (config, token) = problems.finish(config.zip(token))?;
    telemetry::init(&args.log)?;
    let mut problems = Problems::default();
    let operator = listen::bind(config.listen, "--listen", &mut problems).await;
    let ops = listen::bind(args.ops.ops_listen, "--ops-listen", &mut problems).await;
    let (operator, ops) = problems.finish(operator.zip(ops))?;
    super::serve(ops, |health, _, stop| taskyard_operator::run(config, token, operator, health, stop)).await
}
