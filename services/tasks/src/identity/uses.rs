//! When keys were last used, to the minute.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use taskyard_core::{Identity, identity::Caller};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::keys;

const INTERVAL: Duration = Duration::from_secs(60);

/// Keys that were used since the last note.
#[derive(Clone, Debug, Default)]
pub struct KeyUses(Arc<Mutex<HashSet<Uuid>>>);

impl KeyUses {
    /// It was used.
    pub fn note(&self, identity: &Identity) {
        if let Caller::Key { id } = identity.caller {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        }
    }

    /// Writes it down, every minute until `stop`.
    pub async fn keep(self, pool: PgPool, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            let stopped = tokio::time::timeout(INTERVAL, stop.cancelled()).await.is_ok();
            let used: Vec<Uuid> = self.0.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
            if !used.is_empty()
                && let Err(error) = keys::key_set_used_batch(&pool, &used).await
            {
                tracing::warn!(%error, "the use of keys could not be noted");
            }
            if stopped {
                return Ok(());
            }
        }
    }
}
