//! The dispatcher: what one tasks process alone does for all, under its term.
//!
//! Redis decides who may try to lead, Postgres who may write: every statement of a leader checks its term, and
//! whatever a paused old leader does afterwards is refused.

mod backlog;
mod board;
mod due;
mod erase;
mod housekeeping;
mod index;
mod lanes;
mod leadership;
mod reconcile;
mod relay;
mod schedules;
mod slots;
mod starts;
mod vitals;

pub use self::leadership::run;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How long to wait before something that took so long is done again: what looks for rarities in the background takes
/// a twentieth of the time at most. While somebody holds an old snapshot it walks over all that ended since.
pub fn pause_after(took: Duration, at_least: Duration) -> Duration {
    at_least.max(took * 20)
}

/// Why a leader's loop ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// The process stops.
    Stopped,
    /// There is a newer term, or the lock is another's.
    Fenced,
    /// A start has an unknown outcome: take the next term and read again before anything is started.
    Retake,
    /// Postgres or NATS does not answer; another process may fare better.
    LetGo(&'static str),
}

/// What the loops of one term share.
#[derive(Debug)]
struct Term {
    number: i64,
    app: Arc<App>,
    stop: CancellationToken,
    /// There are events to relay.
    events: Notify,
    /// The relay has read events, and how many so far.
    relayed: Notify,
    events_relayed: AtomicU64,
    /// The earliest time at which something is due, as the pods tell it.
    due: watch::Sender<Option<DateTime<Utc>>>,
    /// Schedules have changed.
    schedules: Notify,
    /// Queue settings have changed.
    queues_changed: AtomicBool,
    /// When the dispatch loop last went round; the lock lives from it.
    went_round: watch::Sender<Instant>,
}

impl Term {
    fn new(number: i64, app: Arc<App>, stop: CancellationToken) -> Self {
        Self {
            number,
            app,
            stop,
            events: Notify::new(),
            relayed: Notify::new(),
            events_relayed: AtomicU64::new(0),
            due: watch::Sender::new(None),
            schedules: Notify::new(),
            queues_changed: AtomicBool::new(true),
            went_round: watch::Sender::new(Instant::now()),
        }
    }

    fn queues_have_changed(&self) -> bool {
        self.queues_changed.swap(false, Ordering::Relaxed)
    }

    /// What was told so far is being looked at. Not a change that anybody waits for.
    fn nothing_is_due(&self) {
        self.due.send_if_modified(|earliest| {
            *earliest = None;
            false
        });
    }

    /// Something is due at this time.
    fn is_due_at(&self, time: DateTime<Utc>) {
        self.due.send_if_modified(|earliest| {
            let is_earlier = earliest.is_none_or(|earliest| time < earliest);
            if is_earlier {
                *earliest = Some(time);
            }
            is_earlier
        });
    }
}
