//! The HTTP client, set up for requests that strangers write.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use reqwest::redirect;
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::{reach::Reach, resolver::Resolver};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_PER_HOST_MAX: usize = 8;

/// A client that reaches no more than it may, keeps no cookies, and follows no redirects by itself: each is checked
/// by us first.
pub(super) fn build(reach: &Arc<Reach>) -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls()?)
        .dns_resolver(Resolver(Arc::clone(reach)))
        // A proxy would connect for us to what we may not reach.
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        .user_agent(concat!("taskyard/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("the HTTP client cannot be built")
}

/// TLS with the machine's certificates and ring, without a process-wide provider.
fn tls() -> anyhow::Result<ClientConfig> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        // Plain HTTP still works, so this is no reason not to begin.
        tracing::warn!(errors = ?found.errors, "There are no root certificates here: https requests will fail");
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
