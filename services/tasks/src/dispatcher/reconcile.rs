//! Repairs what no rule allows and yet might be: by a bug, a restored backup or somebody's own SQL. The table of
//! anomalies stands in ARCHITECTURE.md.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{End, Term};
use crate::{
    fault::{self, FaultPoint},
    store::anomalies::{self, Anomaly},
};

const INTERVAL: Duration = Duration::from_secs(10);

/// Looks every 10 s until the term ends.
pub async fn run(term: Arc<Term>) -> End {
    let mut tick = interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut window = None;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = term.stop.cancelled() => return End::Stopped,
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
    }
}
