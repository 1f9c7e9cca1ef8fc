//! Fills the search index: follows the events, and goes once through the documents that were there before.
//!
//! Correctness does not come from leading: each step moves the reader's row from where it was found, and does nothing
//! if somebody else has moved it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::{End, Term, pause_after};
use crate::app::indexing::Indexer;

/// Without a sign from the relay the events are looked at this often.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// From so many events a second on, the machine is taken to be busy: then the index may fall behind, and takes a
/// twentieth of the time at most.
const BUSY_EVENTS_PER_S: f64 = 3_000.0;
/// Events that come within this time are taken in together.
const PAUSE: Duration = Duration::from_millis(50);

/// Indexes until the term ends.
pub async fn run(term: Arc<Term>) -> End {
    let mut indexer = Indexer::new(term.app.index_pool.clone());
    let mut load = Load::new(&term);
    loop {
        let begun = Instant::now();
        let wait = match indexer.step().await {
            Ok(progress) => {
                term.app.metrics.indexed(progress.tasks, progress.lag_s, indexer.is_filling());
                let busy = load.is_busy(&term);
                match (progress.is_behind, busy) {
                    (true, true) => Some(pause_after(begun.elapsed(), Duration::ZERO)),
                    (true, false) => Some(Duration::ZERO),
                    (false, _) => None,
                }
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the search index is not filled");
                Some(Duration::from_secs(1))
            }
        };
        let rest = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => {
                    tokio::time::sleep(PAUSE).await;
                    let _ = timeout(POLL_INTERVAL, term.relayed.notified()).await;
                }
            }
        };
        tokio::select! {
            () = rest => {}
            () = term.stop.cancelled() => return End::Stopped,
        }
    }
}

/// How many events there are.
struct Load {
    since: Instant,
    events: u64,
    is_busy: bool,
}

impl Load {
    fn new(term: &Term) -> Self {
        Self { since: Instant::now(), events: term.events_relayed.load(Ordering::Relaxed), is_busy: false }
    }

    /// Whether there were many in the last second.
    fn is_busy(&mut self, term: &Term) -> bool {
        let passed = self.since.elapsed();
        if passed >= Duration::from_secs(1) {
            let events = term.events_relayed.load(Ordering::Relaxed);
            self.is_busy = (events - self.events) as f64 / passed.as_secs_f64() > BUSY_EVENTS_PER_S;
            (self.since, self.events) = (Instant::now(), events);
        }
        self.is_busy
    }
}
