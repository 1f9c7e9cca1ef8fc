//! What every request has at hand.

use std::sync::Arc;

use taskyard_client::Pods;
use taskyard_core::{Error, ErrorCode, Result};
use taskyard_redis::{Cache, Redis, Spare};
use taskyard_runtime::{health::Health, identity::Identities, metrics::Metrics};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{answers::Answers, config::Config, edge::Requests, identity::AskTasks, limiter::Limiter};

/// Shared by all requests; cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

struct Shared {
    config: Config,
    pods: Pods,
    identities: Identities,
    health: Health,
    requests: Requests,
    limiter: Limiter,
    answers: Answers,
    // In KiB: a permit for every started one.
    bodies: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(config: Config, pods: Pods, redis: Option<&Redis>, health: Health, metrics: &Metrics) -> Self {
        let identities = Identities::new(AskTasks(pods.clone()));
        let bodies = Arc::new(Semaphore::new(config.bodies_bytes_max / 1024));
        // Apart: what one of them waited for in vain must not open the other.
        let spare = || redis.cloned().map(Spare::new);
        let answers = Answers::new(spare().map(Cache::new), config.cache_life, metrics);
        let limiter = Limiter::new(spare(), config.rates.clone(), metrics);
        let requests = Requests::new(metrics);
        Self(Arc::new(Shared { config, pods, identities, health, requests, limiter, answers, bodies }))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn pods(&self) -> &Pods {
        &self.0.pods
    }

    pub(crate) fn identities(&self) -> &Identities {
        &self.0.identities
    }

    pub(crate) fn health(&self) -> &Health {
        &self.0.health
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.0.requests
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    pub(crate) fn answers(&self) -> &Answers {
        &self.0.answers
    }

    /// When a request that comes now has to be answered, if its client says nothing.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.0.config.request_timeout
    }

    /// Room for a part of a body.
    pub(crate) fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        self.0.bodies.clone().try_acquire_many_owned(kib).map_err(|_| {
            let mut error =
                Error::new(ErrorCode::Exhausted, "this server holds too many requests now; try again later");
            error.retry_after = Some(std::time::Duration::from_secs(1));
            error
        })
    }
}
