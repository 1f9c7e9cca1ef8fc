//! `taskyard up`: everything in one process.

mod account;
mod part;
mod plan;
mod ports;
mod summary;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use taskyard_devstack::Devstack;
use taskyard_runtime::{
    config::{LogArgs, OpsArgs},
    health::Health,
    metrics::Metrics,
    ops, shutdown, telemetry,
};
use taskyard_tasks::setup;
use tokio_util::sync::CancellationToken;

use self::{
    account::Accounts,
    part::Part,
    plan::Plan,
    ports::{Addresses, Ports},
};
use crate::{
    commands::listen,
    output::{Output, note},
};

/// How long it may take to be ready before it is told what is missing.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// The readiness condition of everything, until the services speak for themselves.
const STARTED: &str = "up: private servers and schema";

/// What to run, and where.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The folder of the private servers' data; what DATABASE_URL, REDIS_URL or NATS_URL names is used instead
    #[arg(long, default_value = ".taskyard", value_name = "DIR")]
    dir: PathBuf,
    /// Where the private servers' programs are installed, so that several folders share them [default: in --dir]
    #[arg(long, env = "TASKYARD_PROGRAMS_DIR", value_name = "DIR")]
    programs_dir: Option<PathBuf>,
    /// Where REST and gRPC are served
    #[arg(
        id = "gateway_listen",
        long = "listen",
        env = "TASKYARD_GATEWAY_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
    /// Names by which clients may call this server, `*` for any; if not given: on loopback its usual names, else any
    #[arg(long = "host", env = "TASKYARD_GATEWAY_HOSTS", value_delimiter = ',', value_name = "HOST")]
    hosts: Vec<String>,
    #[command(flatten)]
    browser: taskyard_gateway::BrowserArgs,
    #[command(flatten)]
    rates: taskyard_gateway::RateArgs,
    #[command(flatten)]
    cache: taskyard_gateway::CacheArgs,
    /// Let `http` tasks reach private addresses: loopback, this network, the cloud's metadata service
    #[arg(long)]
    allow_private_addresses: bool,
    #[command(flatten)]
    tasks: taskyard_tasks::Config,
    #[command(flatten)]
    ops: OpsArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs everything until a signal, or until a part of it fails.
pub async fn run(args: Args) -> Result<()> {
    let (log, dir) = (args.log.clone(), args.dir.clone());
    let plan = Plan::check(args)?;
    telemetry::init(&log)?;
    let Ports { gateway, tasks, ops, addresses } = plan.bind().await?;
    let stop = shutdown::on_signal()?;
    let (health, metrics) = (Health::new(), Metrics::new());
    health.ready(STARTED, false);
    let stopped = CancellationToken::new();
    let ops = tokio::spawn(ops::serve(ops, health.clone(), metrics.clone(), stopped.clone()));

    let stack = tokio::select! {
        stack = Devstack::start(plan.servers(), |step| note(&format!("{step}…"))) => stack?,
        // Dropped, the servers stop by themselves.
        () = stop.cancelled() => return Ok(()),
    };
    let migrated = tokio::select! {
        migrated = setup::migrate(stack.postgres_url(), Duration::ZERO) => {
            migrated.context("the schema could not be brought up to date")
        }
        () = stop.cancelled() => Ok(()),
    };
    let outcome = match migrated {
        Ok(()) if !stop.is_cancelled() => {
            let accounts = account::ensure(stack.postgres_url(), &dir).await.context("the first administrator")?;
            let parts = plan.start(&stack, addresses, gateway, tasks, &health, &metrics).await;
            health.ready(STARTED, true);
            serve(parts, &stack, addresses, (&dir, &accounts), &health, &stop).await
        }
        migrated => migrated,
    };
    let outcome = outcome.and(stack.stop().await);
    stopped.cancel();
    // It has nothing to lose.
    let _ = ops.await;
    outcome
}

/// Waits for the order to stop, or for a part or server that ends without it; then stops the parts, in their order.
async fn serve(
    mut parts: Vec<Part>,
    stack: &Devstack,
    addresses: Addresses,
    (dir, accounts): (&Path, &Accounts),
    health: &Health,
    stop: &CancellationToken,
) -> Result<()> {
    let welcome = async {
        wait_until_ready(health).await;
        if let Accounts::New(account) | Accounts::Known(account) = accounts
            && let Err(error) =
                account::remember(dir, account, format!("http://{}", listen::reachable(addresses.gateway)))
        {
            note(&format!("the command line will not find this server by itself: {error:#}"));
        }
        let mut output = Output::new(false);
        // Who closes its output wants no summary.
        let _ = output.line(&summary::text(addresses, stack.dir(), accounts)).and_then(|()| output.flush());
        std::future::pending().await
    };
    let mut outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        failure = part::first_end(&mut parts) => Err(failure),
        failure = stack.unexpected_end() => Err(failure),
        outcome = welcome => outcome,
    };
    health.drain();
    note("Stopping…");
    for part in parts {
        outcome = outcome.and(part.stop().await);
    }
    outcome
}

async fn wait_until_ready(health: &Health) {
    while tokio::time::timeout(READY_WITHIN, health.wait_until_ready()).await.is_err() {
        note(&format!("Not ready yet: {}", health.missing().join(", ")));
    }
}
