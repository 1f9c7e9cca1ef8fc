//! The gateway: REST for people's programs and gRPC for ours, on one port, in front of the tasks pods.
//!
//! ```text
//!            edge/                              rest/ + shape/
//! client ──► request id, panics, log, host ──┬─► JSON ⇄ protobuf ──► client::Pods ──► tasks pods
//!            sizes, origin, token, rate      ├─► grpc.rs: as it is ──►
//!                                            └─► docs/: openapi/ describes what rest/ serves
//! ```
//!
//! Never in here: a rule of a task's life, a database. What a request means is decided by the tasks service; here it is
//! only let in, translated and passed on.

mod answers;
mod app;
mod config;
mod docs;
mod edge;
mod grpc;
mod identity;
mod limiter;
mod openapi;
mod read;
mod rest;
mod router;
mod shape;

use anyhow::Context;
use taskyard_client::{Pods, Token};
use taskyard_redis::Redis;
use taskyard_runtime::{health::Health, http_server, metrics::Metrics};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use config::{BrowserArgs, CacheArgs, Config, GatewayArgs, Hosts, RateArgs, Rates, RedisAt};

use app::App;

/// The description of the REST API, OpenAPI 3.1, as `/openapi.json` gives it.
#[must_use]
pub fn openapi() -> String {
    openapi::pretty(&openapi::document(&router::described()))
}

/// Serves on `listener` until `shutdown`, then drains: it says that it is not ready, takes no new connections, and lets
/// running requests end for a while.
///
/// # Errors
/// If the configuration cannot be run with.
pub async fn run(
    config: Config,
    listener: TcpListener,
    health: Health,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("the gateway's port")?;
    // It has no right of its own: every call shows its caller's token.
    let pods = Pods::connect(&config.tasks_urls, Token::none()).context("the tasks service's URL")?;
    let redis = config.redis.as_ref().map(|redis| Redis::connect(redis.url.expose(), &redis.prefix)).transpose();
    let redis = redis.context("REDIS_URL cannot be read")?;
    let http = config.http;
    let app = App::new(config, pods, redis.as_ref(), health.clone(), &metrics);

    health.ready(READY, false);
    let first_contact = tokio::spawn(first_contact(app.clone(), health.clone()));
    let changes = tokio::spawn(hear_changes(app.clone(), redis, shutdown.clone()));
    tracing::info!(%address, "the gateway listens");
    let serving = http_server::serve(listener, router::router(app), http, shutdown.clone());
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => {}
        () = shutdown.cancelled() => {
            health.drain();
            serving.await;
        }
    }
    first_contact.abort();
    changes.abort();
    tracing::info!(%address, "the gateway has stopped");
    Ok(())
}

/// The readiness condition: a tasks pod was reached once. Later outages are answered with 503 and a reason, which says
/// more than a connection that nobody takes.
const READY: &str = "gateway: tasks service reached";

async fn first_contact(app: App, health: Health) {
    while app.pods().pick(app.deadline()).await.is_err() {
        tracing::info!("waiting for the tasks service");
    }
    health.ready(READY, true);
}

/// Hears who has lost a right.
async fn hear_changes(app: App, redis: Option<Redis>, shutdown: CancellationToken) {
    let identities = app.identities();
    let hear = async {
        if let Some(redis) = redis {
            redis.hear_changed(|message| identities.hear_message(message), shutdown.clone()).await;
        }
    };
    tokio::join!(identities.look(shutdown.clone()), hear);
}

#[cfg(test)]
mod documents;
