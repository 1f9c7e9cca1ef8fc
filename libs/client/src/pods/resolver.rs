//! Asks again and again which pods there are.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::Shared;
use crate::endpoint::Endpoint;

/// How often every name is resolved.
const INTERVAL: Duration = Duration::from_secs(5);
// A failure asks for an earlier look; a storm of them does not become a storm of lookups.
const INTERVAL_MIN: Duration = Duration::from_millis(500);
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Resolves until nobody holds `shared` any more.
pub(super) async fn run(shared: Weak<Shared>, look: Arc<Notify>) {
    loop {
        let began = Instant::now();
        {
            let Some(shared) = shared.upgrade() else { return };
            resolve(&shared).await;
        }
        tokio::select! {
            () = tokio::time::sleep_until(began + INTERVAL) => {}
            () = look.notified() => tokio::time::sleep_until(began + INTERVAL_MIN).await,
        }
    }
}

async fn resolve(shared: &Arc<Shared>) {
    for endpoint in &shared.endpoints {
        match lookup(endpoint).await {
            Ok(addresses) => shared.set_addresses(endpoint, &addresses),
            // What was known stays: a name server that is away makes no pod go away.
            Err(error) => shared.set_lookup_error(endpoint, error),
        }
    }
}

async fn lookup(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, String> {
    let lookup = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port));
    let mut addresses: Vec<_> = match tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(format!("`{}` cannot be resolved: {error}", endpoint.host)),
        Err(_) => return Err(format!("`{}` was not resolved within {} s", endpoint.host, LOOKUP_TIMEOUT.as_secs())),
    };
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() { Err(format!("`{}` has no address", endpoint.host)) } else { Ok(addresses) }
}
