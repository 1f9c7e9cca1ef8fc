//! One pod: its address, its connection, and how it has fared.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::time::Instant;
use tonic::{Status, transport::Channel};

use super::health::Health;
use crate::endpoint::Endpoint;

/// One pod.
pub(super) struct Pod {
    pub address: SocketAddr,
    pub endpoint: Arc<Endpoint>,
    in_flight: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    health: Health,
    connection: Connection,
    // Counts connections, so that a late failure of an old one does not drop the present one.
    number: u64,
    error: Option<String>,
}

#[derive(Default)]
enum Connection {
    #[default]
    None,
    Connecting,
    Open(Channel),
}

/// What a pod can do for a caller now.
pub(super) enum Standing {
    /// It has a connection.
    Connected { channel: Channel, number: u64 },
    /// A connection is under way.
    Connecting,
    /// A connection can be made.
    Disconnected,
}

impl Pod {
    pub fn new(address: SocketAddr, endpoint: Arc<Endpoint>) -> Self {
        Self { address, endpoint, in_flight: AtomicUsize::new(0), state: Mutex::default() }
    }

    /// How it stands, and until when it should be avoided.
    pub fn standing(&self, now: Instant) -> (Standing, Option<Instant>) {
        let state = self.lock();
        let standing = match &state.connection {
            Connection::None => Standing::Disconnected,
            Connection::Connecting => Standing::Connecting,
            Connection::Open(channel) => Standing::Connected { channel: channel.clone(), number: state.number },
        };
        (standing, state.health.avoided_until(now))
    }

    /// Requests that wait for their answer to begin.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a request until the guard is dropped.
    pub fn begin_request(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Whether the caller shall connect now: only one at a time does.
    pub fn begin_connecting(&self) -> bool {
        let mut state = self.lock();
        if !matches!(state.connection, Connection::None) {
            return false;
        }
        state.connection = Connection::Connecting;
        true
    }

    /// The end of what [`Pod::begin_connecting`] began.
    pub fn end_connecting(&self, began: Instant, connected: Result<Channel, Status>) {
        let mut state = self.lock();
        match connected {
            Ok(channel) => {
                state.number += 1;
                state.connection = Connection::Open(channel);
            }
            Err(status) => {
                state.connection = Connection::None;
                state.error = Some(status.message().to_owned());
                state.health.fail(began, Instant::now());
            }
        }
    }

    pub fn answered(&self) {
        let mut state = self.lock();
        state.health.succeed();
        state.error = None;
    }

    /// It answered that it cannot serve.
    pub fn unavailable(&self, began: Instant, error: &str) {
        let mut state = self.lock();
        state.health.fail(began, Instant::now());
        state.error = Some(error.to_owned());
    }

    /// Its connection broke.
    pub fn disconnected(&self, number: u64, began: Instant, error: &str) {
        let mut state = self.lock();
        if state.number != number || !matches!(state.connection, Connection::Open(_)) {
            return;
        }
        state.connection = Connection::None;
        state.health.disconnect(began, Instant::now());
        state.error = Some(error.to_owned());
    }

    /// Why it was last avoided.
    pub fn error(&self) -> Option<String> {
        self.lock().error.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is under way.
pub(super) struct InFlight(Arc<Pod>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
