//! Workers' sessions whose streams end at this pod: what each holds, what it has free, and their upkeep.

pub mod demand;
pub mod hello;
pub mod intake;
pub mod outbox;
pub mod results;
pub mod session;
pub mod stream;
pub mod upkeep;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

pub use self::session::{Held, RunId, Session};

/// The sessions of this pod.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<Uuid, Arc<Session>>>,
}

impl Sessions {
    /// Adds a session; an older stream of the same session is closed.
    pub fn insert(&self, session: Arc<Session>) {
        if let Some(older) = self.lock().insert(session.id, session) {
            older.close();
        }
    }

    /// Takes a session out, unless a newer stream has taken its place.
    pub fn remove(&self, session: &Arc<Session>) {
        let mut open = self.lock();
        if open.get(&session.id).is_some_and(|known| Arc::ptr_eq(known, session)) {
            open.remove(&session.id);
        }
    }

    /// A session by its id.
    pub fn get(&self, id: Uuid) -> Option<Arc<Session>> {
        self.lock().get(&id).cloned()
    }

    /// All sessions.
    pub fn all(&self) -> Vec<Arc<Session>> {
        self.lock().values().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
