//! What this pod tells the leader of: tasks that became ready, runs that ended, that there are events. Many are put
//! into one message; one that is lost costs the few seconds until the leader's slow poll.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, Utc};
use taskyard_bus::Bus;
use taskyard_core::task::Namespace;
use taskyard_proto::internal::{Beacon, EndedRun, ReadyTask as ReadyTaskMessage, Wake};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    fault::{self, FaultPoint},
    store::ready::ReadyTask,
};

/// Entries of one message: some 500 kB at most.
const MESSAGE_ENTRIES_MAX: usize = 3_000;
const WAITING_MAX: usize = 1_000;
/// How often one looks whether NATS is back.
const CONNECTED_INTERVAL: Duration = Duration::from_millis(20);

/// A handle to tell the leader something.
#[derive(Clone, Debug)]
pub struct Wakes {
    sender: mpsc::Sender<Wake>,
    /// Queues whose ends the leader wants to know, as its last beacon said.
    limited: Arc<RwLock<HashSet<(Namespace, String)>>>,
}

impl Wakes {
    /// A handle, and the loop that publishes until `Wakes` are gone.
    pub fn start(bus: Bus) -> (Self, impl Future<Output = anyhow::Result<()>>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self { sender, limited: Arc::default() }, publish(bus, receiver))
    }

    /// Tasks became ready.
    pub fn ready(&self, tasks: impl IntoIterator<Item = ReadyTask>) {
        let ready: Vec<_> = tasks.into_iter().map(to_message).collect();
        self.send(Wake { ready, ..Wake::default() });
    }

    /// A task is scheduled.
    pub fn scheduled(&self, due_at: DateTime<Utc>) {
        self.send(Wake { earliest_due_ms: due_at.timestamp_millis().max(1), ..Wake::default() });
    }

    /// Runs ended.
    pub fn ended<'a>(&self, runs: impl IntoIterator<Item = (Namespace, &'a str, Uuid, i32)>) {
        let limited = self.limited.read().unwrap_or_else(PoisonError::into_inner);
        let ended = if limited.is_empty() {
            Vec::new()
        } else {
            runs.into_iter()
                .filter(|(namespace, queue, ..)| limited.contains(&(*namespace, (*queue).to_owned())))
                .map(|(namespace, queue, id, run)| EndedRun {
                    namespace,
                    queue: queue.to_owned(),
                    id: id.as_bytes().to_vec().into(),
                    run,
                })
                .collect()
        };
        drop(limited);
        self.send(Wake { ended, ..Wake::default() });
    }

    /// There are new events, and nothing else of note.
    pub fn events(&self) {
        self.send(Wake::default());
    }

    /// Queue settings have changed.
    pub fn queues_changed(&self) {
        self.send(Wake { queues_changed: true, ..Wake::default() });
    }

    /// Schedules have changed.
    pub fn schedules_changed(&self) {
        self.send(Wake { schedules_changed: true, ..Wake::default() });
    }

    /// The leader's beacon says which queues are limited.
    pub fn hear_beacon(&self, beacon: &Beacon) {
        let limited = beacon.limited.iter().map(|queue| (queue.namespace, queue.queue.clone())).collect();
        *self.limited.write().unwrap_or_else(PoisonError::into_inner) = limited;
    }

    fn send(&self, wake: Wake) {
        // When NATS is so far behind, the slow poll is as good.
        let _ = self.sender.try_send(wake);
    }
}

async fn publish(bus: Bus, mut receiver: mpsc::Receiver<Wake>) -> anyhow::Result<()> {
    while let Some(mut wake) = receiver.recv().await {
        // A pod serves before it has reached NATS: what it has to tell waits, as long as somebody may tell more.
        while !bus.is_connected() && !receiver.is_closed() {
            tokio::time::sleep(CONNECTED_INTERVAL).await;
        }
        while wake.ready.len() + wake.ended.len() < MESSAGE_ENTRIES_MAX
            && let Ok(next) = receiver.try_recv()
        {
            merge(&mut wake, next);
        }
        bus.tell(bus.names().wake(), &wake).await;
        fault::reach(FaultPoint::WakePublished);
    }
    Ok(())
}

fn merge(wake: &mut Wake, next: Wake) {
    wake.ready.extend(next.ready);
    wake.ended.extend(next.ended);
    wake.queues_changed |= next.queues_changed;
    wake.schedules_changed |= next.schedules_changed;
    if next.earliest_due_ms != 0 && (wake.earliest_due_ms == 0 || next.earliest_due_ms < wake.earliest_due_ms) {
        wake.earliest_due_ms = next.earliest_due_ms;
    }
}

fn to_message(task: ReadyTask) -> ReadyTaskMessage {
    ReadyTaskMessage {
        namespace: task.namespace,
        id: task.id.as_bytes().to_vec().into(),
        queue: task.queue,
        kind: task.kind,
        priority: u32::try_from(task.priority).unwrap_or(0),
        due_us: task.due_at.timestamp_micros(),
        version: task.version,
        payload_bytes: task.payload_bytes.max(0).cast_unsigned(),
    }
}

/// Reads what [`Wakes::ready`] wrote; none if it makes no sense.
pub fn from_message(task: ReadyTaskMessage) -> Option<ReadyTask> {
    Some(ReadyTask {
        namespace: task.namespace,
        id: Uuid::from_slice(&task.id).ok()?,
        queue: task.queue,
        kind: task.kind,
        priority: i16::try_from(task.priority).ok()?.min(9),
        due_at: DateTime::from_timestamp_micros(task.due_us)?,
        version: task.version,
        payload_bytes: i32::try_from(task.payload_bytes).ok()?,
    })
}
