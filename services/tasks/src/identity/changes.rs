//! Tells all processes when somebody has lost a right, and hears of it.

use taskyard_redis::Redis;
use taskyard_runtime::identity::{Change, Concerns, Identities};
use tokio_util::sync::CancellationToken;

/// What all processes are told.
#[derive(Clone, Debug)]
pub struct Changes {
    redis: Redis,
    identities: Identities,
}

impl Changes {
    pub const fn new(redis: Redis, identities: Identities) -> Self {
        Self { redis, identities }
    }

    /// Tells of a change that is committed: to this process at once, to the others by Redis. Without it they learn of
    /// it when they next ask for the revision.
    pub async fn tell(&self, revision: i64, concerns: Concerns) {
        let change = Change { revision, concerns };
        self.identities.hear(change);
        if let Err(error) = self.redis.tell_changed(&change.to_string()).await {
            tracing::warn!(%error, "a lost right could not be told at once; all look within seconds");
        }
    }

    /// Hears of changes until `stop`, and asks for the revision as long.
    pub async fn hear(self, stop: CancellationToken) -> anyhow::Result<()> {
        let hear = self.redis.hear_changed(|message| self.identities.hear_message(message), stop.clone());
        tokio::join!(self.identities.look(stop), hear);
        Ok(())
    }
}
