//! Workers of ours: the one that runs the built-in kinds of task, and `taskyard work`, which makes any program one.
//!
//! Both are ordinary workers over the public protocol, through `taskyard-client`, and know nothing that anybody's own
//! worker could not know. Never in here: a database, NATS, or a right that other workers do not have.

pub mod command;
mod config;
mod kinds;

use std::time::Duration;

use anyhow::Context;
use taskyard_client::{Pods, Token, worker::Worker};
use taskyard_runtime::{config::Secret, health::Health};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use config::Config;
use kinds::BuiltIn;

/// The readiness condition: a tasks pod was reached once. Later outages are repaired by the session itself.
const READY: &str = "worker: tasks service reached";

/// Runs the built-in kinds of task until `shutdown`.
///
/// # Errors
/// If the configuration is wrong, or the pods refuse this worker.
pub async fn run(config: Config, health: Health, shutdown: CancellationToken) -> anyhow::Result<()> {
    health.ready(READY, false);
    let checked = config.check()?;
    let handler = BuiltIn::new(checked.allow_private_addresses, checked.http_response_bytes_max)?;
    let pods = Pods::connect(&checked.urls, Token::maybe(checked.key.as_ref().map(Secret::expose))?)?;
    let first_contact = tokio::spawn(first_contact(pods.clone(), health));
    let worker = Worker::builder(pods)
        .name(checked.name)
        .queues(checked.queues)
        .kinds(kinds::NAMES)
        .slots(checked.slots)
        .grace_period(Duration::from_secs(checked.grace_period_s))
        .build()?;
    tracing::info!(session = %worker.session(), kinds = ?kinds::NAMES, slots = checked.slots, "The worker begins");
    let ended = worker.run(handler, shutdown).await.context("the worker cannot go on");
    first_contact.abort();
    ended
}

async fn first_contact(pods: Pods, health: Health) {
    while pods.pick(Instant::now() + Duration::from_secs(5)).await.is_err() {
        tracing::info!("waiting for the tasks service");
    }
    health.ready(READY, true);
}
