//! The HTTP client, set up for requests that strangers write.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use reqwest::redirect;
use taskyard_runtime::tls;

use super::{reach::Reach, resolver::Resolver};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_PER_HOST_MAX: usize = 8;

/// A client that reaches no more than it may, keeps no cookies, and follows no redirects by itself: each is checked
/// by us first.
pub(super) fn build(reach: &Arc<Reach>) -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config()?)
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
