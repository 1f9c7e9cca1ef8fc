//! One worker's session on this pod.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use taskyard_core::{RetryPolicy, task::Namespace};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::outbox::Outbox;
use crate::store::sessions::Connection;

/// A task and its run.
pub type RunId = (Uuid, i32);

/// A run that the worker holds, or that is on its way to it.
#[derive(Clone, Debug)]
pub struct Held {
    pub namespace: Namespace,
    pub queue: String,
    pub payload_bytes: u64,
    pub attempt: u16,
    pub retry: RetryPolicy,
    pub stage: Stage,
}

/// How far a held run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Taken in; its payload is being read, or it is with the worker.
    Running,
    /// Its result is on its way into the database.
    Reported,
    /// The worker was told to stop it; its slot is free when it says so.
    Stopping,
}

/// A worker's session.
#[derive(Debug)]
pub struct Session {
    pub id: Uuid,
    pub connection: i32,
    pub namespace: Namespace,
    pub queues: Vec<String>,
    pub kinds: Vec<String>,
    pub outbox: Outbox,
    state: Mutex<State>,
    closed: CancellationToken,
}

#[derive(Debug)]
struct State {
    slots: u32,
    bytes_max: u64,
    held: HashMap<RunId, Held>,
    is_draining: bool,
    last_sign: Instant,
}

/// What a session has free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    pub slots: u32,
    pub bytes: u64,
    pub is_idle: bool,
}

/// What a hello opens.
#[derive(Debug)]
pub struct Opening {
    pub id: Uuid,
    pub connection: i32,
    pub namespace: Namespace,
    pub queues: Vec<String>,
    pub kinds: Vec<String>,
    pub slots: u32,
    pub bytes_max: u64,
    pub held: HashMap<RunId, Held>,
}

impl Session {
    pub fn new(opening: Opening, outbox: Outbox) -> Self {
        let state = State {
            slots: opening.slots,
            bytes_max: opening.bytes_max,
            held: opening.held,
            is_draining: false,
            last_sign: Instant::now(),
        };
        Self {
            id: opening.id,
            connection: opening.connection,
            namespace: opening.namespace,
            queues: opening.queues,
            kinds: opening.kinds,
            outbox,
            state: Mutex::new(state),
            closed: CancellationToken::new(),
        }
    }

    /// Its connection, as the database knows it.
    pub const fn connection(&self) -> Connection {
        Connection { session: self.id, connection: self.connection }
    }

    /// Ends the stream.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// Resolves when the stream is to end.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// The worker gave a sign of life.
    pub fn sign_of_life(&self) {
        self.lock().last_sign = Instant::now();
    }

    /// How long ago the last sign of life was.
    pub fn silence(&self) -> Duration {
        self.lock().last_sign.elapsed()
    }

    /// What it has free.
    pub fn free(&self) -> Free {
        let state = self.lock();
        let held = u32::try_from(state.held.len()).unwrap_or(u32::MAX);
        let bytes: u64 = state.held.values().map(|held| held.payload_bytes).sum();
        Free {
            slots: if state.is_draining { 0 } else { state.slots.saturating_sub(held) },
            bytes: state.bytes_max.saturating_sub(bytes),
            is_idle: state.held.is_empty(),
        }
    }

    /// Changes the credit.
    pub fn set_credit(&self, slots: u32, bytes_max: u64) {
        let mut state = self.lock();
        state.slots = slots;
        state.bytes_max = bytes_max;
    }

    /// No more work goes down this stream. False: it was so already.
    pub fn drain(&self) -> bool {
        !std::mem::replace(&mut self.lock().is_draining, true)
    }

    /// Takes a run in. False: it is held already, or the stream takes no more work.
    pub fn hold(&self, run: RunId, held: Held) -> bool {
        let mut state = self.lock();
        if state.is_draining || state.held.contains_key(&run) {
            return false;
        }
        state.held.insert(run, held);
        true
    }

    /// Changes what is known of a held run. False: it is not held.
    pub fn update(&self, run: RunId, change: impl FnOnce(&mut Held)) -> bool {
        self.lock().held.get_mut(&run).map(change).is_some()
    }

    /// The worker is about to be told to stop a run. False: it is not held, or its end is on its way already.
    pub fn stop(&self, run: RunId) -> bool {
        let mut state = self.lock();
        let running = state.held.get_mut(&run).filter(|held| held.stage == Stage::Running);
        running.map(|held| held.stage = Stage::Stopping).is_some()
    }

    /// What is known of a held run.
    pub fn held(&self, run: RunId) -> Option<Held> {
        self.lock().held.get(&run).cloned()
    }

    /// The run is over for this session.
    pub fn release(&self, run: RunId) -> Option<Held> {
        self.lock().held.remove(&run)
    }

    /// All held runs.
    pub fn all_held(&self) -> Vec<(RunId, Stage)> {
        self.lock().held.iter().map(|(run, held)| (*run, held.stage)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
