//! Deletes what belongs to namespaces that somebody has deleted, in the background.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{End, Term, pause_after};
use crate::{
    fault::{self, FaultPoint},
    store::erase,
};

const INTERVAL: Duration = Duration::from_secs(5);
/// Tasks of one round.
const CHUNK: i64 = 500;
/// Between two rounds.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// Looks every 5 s until the term ends.
pub async fn run(term: Arc<Term>) -> End {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = term.stop.cancelled() => return End::Stopped,
        }
        if let Err(error) = erase(&term).await {
            tracing::warn!(%error, "a namespace could not be deleted yet");
        }
    }
}

async fn erase(term: &Term) -> Result<(), sqlx::Error> {
    let pool = &term.app.pool;
    for namespace in erase::namespace_list_deleting(pool).await? {
        erase::schedule_erase_all(pool, namespace).await?;
        loop {
            let begun = Instant::now();
            let erased = erase::task_erase_batch(pool, namespace, CHUNK).await?;
            fault::reach(FaultPoint::EraseCommitted);
            if erased == 0 {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(pause_after(begun.elapsed(), PAUSE_MIN).min(INTERVAL)) => {}
                () = term.stop.cancelled() => return Ok(()),
            }
        }
        // Of whoever began before the namespace was closed and ended after it.
        erase::schedule_erase_all(pool, namespace).await?;
        erase::namespace_erase(pool, namespace).await?;
        fault::reach(FaultPoint::EraseCommitted);
        tracing::info!(namespace, "a namespace was deleted with everything in it");
    }
    Ok(())
}
