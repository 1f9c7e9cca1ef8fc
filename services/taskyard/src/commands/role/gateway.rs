//! `taskyard gateway`.

use taskyard_gateway::GatewayArgs;
use taskyard_runtime::{
    config::{LogArgs, OpsArgs, Problems, TokenArgs},
    telemetry,
};

use crate::commands::listen;

/// What the gateway is told.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    gateway: GatewayArgs,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    ops: OpsArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs the gateway.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut problems = Problems::default();
    let token = args.token.check(&mut problems);
    let config = args.gateway.check(token, &mut problems);
    let config = problems.finish(config)?;
    telemetry::init(&args.log)?;
    let mut problems = Problems::default();
    let gateway = listen::bind(config.listen, "--listen", &mut problems).await;
    let ops = listen::bind(args.ops.ops_listen, "--ops-listen", &mut problems).await;
    let (gateway, ops) = problems.finish(gateway.zip(ops))?;
    super::serve(ops, |health, metrics, stop| taskyard_gateway::run(config, gateway, health, metrics, stop)).await
}
