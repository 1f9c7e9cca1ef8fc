//! Repairs what no rule allows and yet might be: by a bug, a restored backup or somebody's own SQL. The table of
//! anomalies stands in ARCHITECTURE.md.

use std::{sync::Arc, time::Duration};

use taskyard_core::task::Namespace;
use tokio::time::Instant;
use uuid::Uuid;

use super::{End, Term, pause_after};
use crate::{
    fault::{self, FaultPoint},
    store::{
        anomalies::{self, Anomaly},
        epoch::{self, AdoptTable},
    },
};

const INTERVAL: Duration = Duration::from_secs(10);
/// The longest pause, when a look takes long.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Rows of one look at what was restored.
const ADOPT_ROWS: i64 = 5_000;

/// Looks every 10 s until the term ends.
pub async fn run(term: Arc<Term>) -> End {
    let mut window = None;
    let mut has_adopted = false;
    loop {
        let begun = Instant::now();
        if !has_adopted {
            has_adopted = adopt(&term)
                .await
                .inspect_err(|error| tracing::warn!(%error, "restored rows could not be made ours"))
                .is_ok();
        }
        let from = window;
        window = anomalies::window_next(&term.app.pool, from).await.unwrap_or_default();
        for anomaly in Anomaly::ALL {
            match anomalies::anomaly_repair(&term.app.pool, term.number, anomaly, from..window).await {
                Ok(0) => {}
                Ok(rows) => {
                    fault::reach(FaultPoint::RepairCommitted);
                    tracing::error!(anomaly = anomaly.name(), rows, "rows that no rule allows were repaired");
                    term.app.metrics.repaired(anomaly.name(), rows);
                    term.app.wakes.events();
                }
                Err(error) => tracing::warn!(anomaly = anomaly.name(), %error, "an anomaly could not be looked for"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause_after(begun.elapsed(), INTERVAL).min(INTERVAL_MAX)) => {}
            () = term.stop.cancelled() => return End::Stopped,
        }
    }
}

/// After a restore on a server whose transactions have lower ids, rows seem to be of the future, and nobody could
/// change them. Tasks that wait or run come first.
async fn adopt(term: &Term) -> Result<(), sqlx::Error> {
    let pool = &term.app.pool;
    if !epoch::epoch_rows_are_ahead(pool).await? {
        return Ok(());
    }
    for table in [AdoptTable::Active, AdoptTable::Finished] {
        let mut place = Some((Namespace::MIN, Uuid::nil()));
        let mut adopted = 0;
        while let Some(from) = place.filter(|_| !term.stop.is_cancelled()) {
            let (next, rows) = epoch::epoch_row_adopt_batch(pool, table, from, ADOPT_ROWS).await?;
            adopted += rows;
            place = next;
        }
        if adopted > 0 {
            tracing::info!(?table, adopted, "restored rows were made ours");
        }
    }
    Ok(())
}
