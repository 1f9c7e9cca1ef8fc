//! The operator: tells Kubernetes' autoscaler how much work waits, as the API `external.metrics.k8s.io`.
//!
//! ```text
//! autoscaler ──► API server ──(TLS, its own certificate)──► api.rs ──► client::Pods ──► tasks pods, which heard it
//!                                                             │                         from the leader
//!                            SubjectAccessReview ◄── callers.rs
//! ```
//!
//! What it cannot tell it answers with an error, and never with zero: an autoscaler that hears of no work stops workers.
//! Never in here: a database, a rule of a task's life.

mod api;
mod callers;
mod certificate;
mod config;
mod metrics;
mod selector;
mod tls;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use kube::Client;
use rustls::ServerConfig;
use taskyard_client::{Pods, Token};
use taskyard_runtime::{config::Secret, health::Health, http_server};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

pub use self::config::{Config, OperatorArgs};
use self::{callers::Aggregator, certificate::Identity, config::Source};

/// The readiness condition: it has a certificate that is made known, and knows the API server's.
const READY: &str = "operator: trust between it and the API server";
/// How often certificates are looked after.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// The same while something is missing.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// Serves on `listener` until `shutdown`.
///
/// # Errors
/// If the configuration cannot be run with, or this is no pod of a Kubernetes cluster.
pub async fn run(
    config: Config,
    token: Secret,
    listener: TcpListener,
    health: Health,
    shutdown: CancellationToken,
) -> Result<()> {
    let pods = Pods::connect(&config.tasks_urls, Token::bearer(token.expose())?).context("the tasks service's URL")?;
    let client =
        Client::try_default().await.context("the Kubernetes API cannot be found; the operator runs in a cluster")?;
    health.ready(READY, false);
    let trust = Trust { client: client.clone(), config, health };
    let Some((first, aggregator)) = trust.establish(&shutdown).await else { return Ok(()) };
    let (show, tls) = watch::channel(first);
    let (tell, heard) = watch::channel(aggregator);
    let keeping = tokio::spawn(trust.keep(show, tell));
    let router = api::router(api::App { client, pods, aggregator: heard });
    tracing::info!(address = ?listener.local_addr(), "the operator listens");
    http_server::serve_tls(listener, router, http_server::Options::default(), tls, shutdown).await;
    keeping.abort();
    Ok(())
}

/// The trust between the operator and the API server, both ways.
struct Trust {
    client: Client,
    config: Config,
    health: Health,
}

impl Trust {
    /// Tries until it is there. None if it is told to stop before.
    async fn establish(&self, shutdown: &CancellationToken) -> Option<(Arc<ServerConfig>, Arc<Aggregator>)> {
        loop {
            let found = tokio::select! {
                found = self.look() => found,
                () = shutdown.cancelled() => return None,
            };
            match found {
                Ok((identity, aggregator)) => match tls::server_config(&identity, &aggregator) {
                    Ok(config) => {
                        self.health.ready(READY, true);
                        return Some((config, Arc::new(aggregator)));
                    }
                    Err(error) => tracing::error!(error = format!("{error:#}"), "a certificate cannot be used"),
                },
                Err(error) => tracing::error!(error = format!("{error:#}"), "the API server does not trust us yet"),
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
                () = shutdown.cancelled() => return None,
            }
        }
    }

    /// Follows what changes, for ever. What was good stays in use while the API server cannot be asked.
    async fn keep(self, show: watch::Sender<Arc<ServerConfig>>, tell: watch::Sender<Arc<Aggregator>>) {
        let mut last = None;
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let found = match self.look().await {
                Ok(found) if last.as_ref() == Some(&found) => continue,
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "certificates could not be looked after");
                    continue;
                }
            };
            match tls::server_config(&found.0, &found.1) {
                Ok(config) => {
                    show.send_replace(config);
                    tell.send_replace(Arc::new(found.1.clone()));
                    last = Some(found);
                }
                Err(error) => tracing::error!(error = format!("{error:#}"), "a new certificate cannot be used"),
            }
        }
    }

    async fn look(&self) -> Result<(Identity, Aggregator)> {
        let identity = match &self.config.source {
            Source::Secret(secret) => certificate::own(&self.client, secret, &self.config.service).await?,
            Source::Folder(folder) => certificate::in_folder(&self.client, folder, &self.config.service).await?,
        };
        Ok((identity, Aggregator::read(&self.client).await?))
    }
}
