//! Makes scheduled tasks ready when their time has come, by the database's clock.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use tokio::time::Instant;

use super::{End, Term};
use crate::{
    fault::{self, FaultPoint},
    store::ready,
};

/// Tasks of one statement.
const CHUNK: i64 = 500;
/// The slow look, in case a pod's word was lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Dues within this time go into one statement.
const PAUSE: Duration = Duration::from_millis(5);

/// Promotes until the term ends.
pub async fn run(term: Arc<Term>) -> End {
    let mut told = term.due.subscribe();
    let mut look_at = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(look_at) => {}
            changed = told.changed() => {
                if changed.is_err() {
                    return End::Stopped;
                }
                // By this process' clock; the statement decides by the database's.
                if let Some(due_at) = *told.borrow_and_update() {
                    look_at = look_at.min(Instant::now() + (due_at - Utc::now()).to_std().unwrap_or_default());
                }
                continue;
            }
            () = term.stop.cancelled() => return End::Stopped,
        }
        term.nothing_is_due();
        match ready::task_promote_batch(&term.app.pool, term.number, CHUNK).await {
            Ok(promoted) if !promoted.leads => return End::Fenced,
            Ok(promoted) => {
                let is_full = promoted.ready.len() as i64 == CHUNK;
                if !promoted.ready.is_empty() {
                    fault::reach(FaultPoint::DueCommitted);
                    term.app.wakes.ready(promoted.ready);
                }
                let wait = if is_full {
                    Duration::ZERO
                } else {
                    let next =
                        promoted.next_due_in_ms.and_then(|ms| u64::try_from(ms + 1).ok()).map(Duration::from_millis);
                    next.map_or(LOOK_INTERVAL, |next| next.clamp(PAUSE, LOOK_INTERVAL))
                };
                look_at = Instant::now() + wait;
            }
            Err(error) => {
                tracing::warn!(%error, "due tasks could not be made ready");
                look_at = Instant::now() + Duration::from_millis(500);
            }
        }
    }
}
