//! What this pod's workers have free, told to the leader: changes at once, all of it at every beacon.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use taskyard_bus::Bus;
use taskyard_proto::internal::{Demand, SessionDemand};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Session, Sessions};
use crate::fault::{self, FaultPoint};

/// Changes within this time go into one message.
const PAUSE: Duration = Duration::from_millis(1);

/// What there is to tell.
#[derive(Debug, Default)]
pub struct DemandTeller {
    pending: Mutex<Pending>,
    notify: Notify,
    number: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    changed: HashSet<Uuid>,
    complete: bool,
    /// Term and number of the last work message taken in.
    taken_in: (i64, u64),
}

impl DemandTeller {
    /// A session has more or less free than before, is new or gone.
    pub fn changed(&self, session: &Session) {
        self.lock().changed.insert(session.id);
        self.notify.notify_one();
    }

    /// A session is gone: the others are told, so that it is missing.
    pub fn complete(&self) {
        self.lock().complete = true;
        self.notify.notify_one();
    }

    /// A work message was taken in: its runs are held by their sessions.
    pub fn taken_in(&self, term: i64, number: u64) {
        let mut pending = self.lock();
        pending.taken_in = pending.taken_in.max((term, number));
        if number == 0 {
            // A new leader waits for this.
            pending.complete = true;
            self.notify.notify_one();
        }
    }

    /// Whether a work message of a newer term was taken in.
    pub fn has_taken_in_newer(&self, term: i64) -> bool {
        self.lock().taken_in.0 > term
    }

    /// Tells the leader until the stop.
    pub async fn run(
        self: Arc<Self>,
        bus: Bus,
        pod: String,
        sessions: Arc<Sessions>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = self.notify.notified() => {}
                () = stop.cancelled() => return Ok(()),
            }
            let begun = Instant::now();
            let Some(demand) = self.next(&pod, &sessions) else { continue };
            bus.tell(bus.names().demand(), &demand).await;
            fault::reach(FaultPoint::DemandPublished);
            tokio::time::sleep_until(begun + PAUSE).await;
        }
    }

    fn next(&self, pod: &str, sessions: &Sessions) -> Option<Demand> {
        // What was taken in is read before the free slots: a run that is taken in between is then counted by both
        // sides, for a moment, and never by neither.
        let (changed, complete, (term, work_number)) = {
            let mut pending = self.lock();
            (std::mem::take(&mut pending.changed), std::mem::take(&mut pending.complete), pending.taken_in)
        };
        let told: Vec<Arc<Session>> =
            if complete { sessions.all() } else { changed.iter().filter_map(|id| sessions.get(*id)).collect() };
        if told.is_empty() && !complete {
            return None;
        }
        Some(Demand {
            pod: pod.to_owned(),
            number: self.number.fetch_add(1, Ordering::Relaxed) + 1,
            term,
            work_number,
            complete,
            sessions: told.iter().map(|session| report(session)).collect(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn report(session: &Session) -> SessionDemand {
    let free = session.free();
    SessionDemand {
        session: session.id.as_bytes().to_vec().into(),
        connection: session.connection,
        namespace: session.namespace,
        queues: session.queues.clone(),
        kinds: session.kinds.clone(),
        slots: free.slots,
        bytes: free.bytes,
        idle: free.is_idle,
    }
}
