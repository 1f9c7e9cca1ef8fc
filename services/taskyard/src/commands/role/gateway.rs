//! `taskyard gateway`.

use taskyard_gateway::{GatewayArgs, RedisAt};
use taskyard_runtime::{
    config::{LogArgs, OpsArgs, Problems, RedisArgs},
    telemetry,
};

use crate::commands::listen;

/// What the gateway is told.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    gateway: GatewayArgs,
    #[command(flatten)]
    redis: RedisArgs,
    /// What all names in Redis begin with; the tasks service's
    #[arg(long, env = "TASKYARD_PREFIX", default_value = "taskyard", value_name = "NAME")]
    prefix: String,
    #[command(flatten)]
    ops: OpsArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs the gateway.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut problems = Problems::default();
    let redis = args.redis.check(&mut problems).map(|url| RedisAt { url, prefix: args.prefix });
    let config = args.gateway.check(redis, &mut problems);
    let config = problems.finish(config)?;
    telemetry::init(&args.log)?;
    let mut problems = Problems::default();
    let gateway = listen::bind(config.listen, "--listen", &mut problems).await;
    let ops = listen::bind(args.ops.ops_listen, "--ops-listen", &mut problems).await;
    let (gateway, ops) = problems.finish(gateway.zip(ops))?;
    super::serve(ops, |health, metrics, stop| taskyard_gateway::run(config, gateway, health, metrics, stop)).await
}
