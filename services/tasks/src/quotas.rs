//! What each namespace may have, so that none takes the place of the others.
//!
//! Every pod counts by itself, every few seconds and only where something is created, and adds what it creates in
//! between. So a quota can be exceeded by what other pods create in such a moment, and a create never waits for a count
//! but for the first one. A tick of a schedule that is refused does not come again, as a create does: so an old count
//! may let one through, and never refuses it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use taskyard_core::{Error, ErrorCode, Result, task::Namespace};
use tokio::time::Instant;

use crate::{
    dispatcher::pause_after,
    store::administration::{self, Quota},
};

/// A count is good for so long, and for longer if it took long.
const LIFE: Duration = Duration::from_secs(5);
/// How often one who waits for a count looks for it.
const SETTLE_PAUSE: Duration = Duration::from_millis(20);
/// Namespaces that are remembered.
const KNOWN_MAX: usize = 10_000;

/// The quotas that this pod goes by.
#[derive(Clone, Debug)]
pub struct Quotas(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    /// Of namespaces that have none of their own.
    usual: Quota,
    known: Mutex<HashMap<Namespace, Usage>>,
    /// One namespace is counted for the first time, and others wait: a count can be long.
    first: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug)]
struct Usage {
    tasks: i64,
    payload_bytes: i64,
    /// What was admitted since the count that is under way began: it may be in it or not.
    new_tasks: i64,
    new_payload_bytes: i64,
    quota: Quota,
    good_until: Instant,
    is_being_read: bool,
}

/// Whether a tick may make its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It may, and is counted.
    Free,
    /// The namespace has as many as it may.
    Full,
    /// Only a new count can tell.
    Unknown,
}

impl Usage {
    fn is_good(&self) -> bool {
        Instant::now() < self.good_until
    }

    fn admit(&mut self, payload_bytes: usize) -> Result<()> {
        let bytes = i64::try_from(payload_bytes).unwrap_or(i64::MAX);
        if let Some(max) = self.quota.active_tasks_max.filter(|max| self.tasks >= *max) {
            return Err(exhausted(&format!("{max} waiting and running tasks")));
        }
        if let Some(max) = self.quota.payload_bytes_max.filter(|max| self.payload_bytes.saturating_add(bytes) > *max) {
            return Err(exhausted(&format!("{max} bytes of payload in waiting and running tasks")));
        }
        self.tasks += 1;
        self.payload_bytes = self.payload_bytes.saturating_add(bytes);
        self.new_tasks += 1;
        self.new_payload_bytes = self.new_payload_bytes.saturating_add(bytes);
        Ok(())
    }
}

impl Quotas {
    pub fn new(pool: PgPool, usual: Quota) -> Self {
        Self(Arc::new(Shared { pool, usual, known: Mutex::default(), first: tokio::sync::Mutex::default() }))
    }

    /// Makes sure that something is known of a namespace.
    pub async fn look(&self, namespace: Namespace) {
        if self.refresh(namespace) {
            return;
        }
        let _turn = self.0.first.lock().await;
        let is_known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&namespace);
        if !is_known {
            self.read(namespace).await;
        }
    }

    /// Begins a new count where the last one is old. False: there was none.
    fn refresh(&self, namespace: Namespace) -> bool {
        {
            let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(usage) = known.get_mut(&namespace) else { return false };
            if usage.is_being_read || usage.is_good() {
                return true;
            }
            usage.is_being_read = true;
            (usage.new_tasks, usage.new_payload_bytes) = (0, 0);
        }
        let quotas = self.clone();
        tokio::spawn(async move { quotas.read(namespace).await });
        true
    }

    async fn read(&self, namespace: Namespace) {
        let began = Instant::now();
        let read = async {
            let own = administration::quota_read(&self.0.pool, namespace).await?;
            let quota = Quota {
                active_tasks_max: own.active_tasks_max.or(self.0.usual.active_tasks_max),
                payload_bytes_max: own.payload_bytes_max.or(self.0.usual.payload_bytes_max),
                queues_max: own.queues_max,
            };
            let is_limited = quota.active_tasks_max.is_some() || quota.payload_bytes_max.is_some();
            let usage = if is_limited { administration::usage_read(&self.0.pool, namespace).await? } else { (0, 0) };
            Ok::<_, sqlx::Error>((quota, usage))
        };
        let read = read.await;
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        let good_until = Instant::now() + pause_after(began.elapsed(), LIFE);
        match read {
            Ok((quota, (tasks, payload_bytes))) => {
                tracing::debug!(namespace, tasks, payload_bytes, ?quota, "a namespace's tasks were counted");
                let new = known.get(&namespace).map(|usage| (usage.new_tasks, usage.new_payload_bytes));
                let (new_tasks, new_payload_bytes) = new.unwrap_or_default();
                let usage = Usage {
                    tasks: tasks + new_tasks,
                    payload_bytes: payload_bytes + new_payload_bytes,
                    new_tasks: 0,
                    new_payload_bytes: 0,
                    quota,
                    good_until,
                    is_being_read: false,
                };
                known.insert(namespace, usage);
            }
            // The create will say so itself.
            Err(error) => {
                tracing::debug!(%error, "a namespace's tasks could not be counted");
                let usage = known.entry(namespace).or_insert(Usage {
                    tasks: 0,
                    payload_bytes: 0,
                    new_tasks: 0,
                    new_payload_bytes: 0,
                    quota: Quota::default(),
                    good_until,
                    is_being_read: false,
                });
                (usage.good_until, usage.is_being_read) = (good_until, false);
            }
        }
    }

    /// Counts one more task.
    ///
    /// # Errors
    /// If the namespace has as many as it may.
    pub fn admit(&self, namespace: Namespace, payload_bytes: usize) -> Result<()> {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_mut(&namespace).map_or(Ok(()), |usage| usage.admit(payload_bytes))
    }

    /// Counts the task of a tick, if it may be made.
    pub fn admit_tick(&self, namespace: Namespace, payload_bytes: usize) -> Room {
        if !self.refresh(namespace) {
            return Room::Unknown;
        }
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(usage) = known.get_mut(&namespace) else { return Room::Unknown };
        match usage.admit(payload_bytes) {
            Ok(()) => Room::Free,
            Err(_) if usage.is_good() => Room::Full,
            Err(_) => Room::Unknown,
        }
    }

    /// Takes back what was counted for a tick that made no task after all.
    pub fn release(&self, namespace: Namespace, payload_bytes: usize) {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(usage) = known.get_mut(&namespace) else { return };
        let bytes = i64::try_from(payload_bytes).unwrap_or(i64::MAX);
        usage.tasks -= 1;
        usage.payload_bytes = usage.payload_bytes.saturating_sub(bytes);
        // A count that began meanwhile does not have them.
        usage.new_tasks = (usage.new_tasks - 1).max(0);
        usage.new_payload_bytes = usage.new_payload_bytes.saturating_sub(bytes).max(0);
    }

    /// Ends once there is a new count of a namespace.
    pub async fn settle(&self, namespace: Namespace) {
        loop {
            self.look(namespace).await;
            let is_good = {
                let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.get(&namespace).is_some_and(Usage::is_good)
            };
            if is_good {
                return;
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
    }
}

fn exhausted(what: &str) -> Error {
    let message = format!("the namespace may have {what}, and has them; end some, or ask an administrator for more");
    let mut error = Error::new(ErrorCode::Exhausted, message);
    error.retry_after = Some(LIFE);
    error
}
