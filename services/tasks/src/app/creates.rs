//! Creating tasks: concurrent callers share a statement.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::{Error, ErrorCode, Result, TaskState, limits, task::Namespace};
use taskyard_postgres::{Group, Verdict, failure};
use taskyard_redis::{Cache, Change};
use tokio::sync::RwLock;
use uuid::Uuid;

use crate::{
    fault::{self, FaultPoint},
    store::{
        create::{self, Create, Created},
        queues,
        ready::ReadyTask,
    },
    wakes::Wakes,
};

/// What a create came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Creation {
    /// The task's id: another one than asked for if the idempotency key was known.
    pub id: Uuid,
    /// How it stands, if it was not there before.
    pub new: Option<NewState>,
}

/// How a new task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewState {
    pub state: TaskState,
    pub created_at: DateTime<Utc>,
    pub due_at: DateTime<Utc>,
}

/// The group of creates.
#[derive(Debug)]
pub struct Creates {
    pool: PgPool,
    wakes: Wakes,
    cache: Cache,
}

/// What must not stand twice in one group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Id(Namespace, Uuid),
    Idempotency(Namespace, String),
}

impl Creates {
    pub const fn new(pool: PgPool, wakes: Wakes, cache: Cache) -> Self {
        Self { pool, wakes, cache }
    }
}

impl Group for Creates {
    type Item = Create;
    type Answer = Creation;
    type Key = Key;

    const NAME: &'static str = "create";

    fn key(item: &Create) -> Key {
        Key::Id(item.namespace, item.task.id)
    }

    fn second_key(item: &Create) -> Option<Key> {
        item.task.idempotency_key.clone().map(|key| Key::Idempotency(item.namespace, key))
    }

    fn bytes(item: &Create) -> usize {
        item.task.bytes()
    }

    async fn apply(&self, items: &[&Create]) -> Result<Vec<Verdict<Creation>>, sqlx::Error> {
        let created = match create::task_create_batch(&self.pool, items).await {
            // Another pod created one of them at this moment: now it is seen.
            Err(error) if is_unique_violation(&error) => create::task_create_batch(&self.pool, items).await?,
            result => result?,
        };
        fault::reach(FaultPoint::CreateCommitted);
        // Known ones, too: perhaps it was this group that made them, and its answer was lost.
        let made = items.iter().zip(&created).filter_map(|(item, created)| match created {
            Created::New { .. } => Some((item.namespace, item.task.id)),
            Created::Known { id } => Some((item.namespace, *id)),
            _ => None,
        });
        let changes: Vec<_> =
            made.map(|(namespace, id)| Change { namespace, id: Some(id), version: Some(1) }).collect();
        let mut ready = Vec::new();
        let mut earliest_due = None;
        let verdicts = items.iter().zip(created).map(|(item, created)| match created {
            Created::New { state, created_at, due_at } => {
                match state {
                    TaskState::Ready => ready.push(ReadyTask {
                        namespace: item.namespace,
                        id: item.task.id,
                        queue: item.task.queue.clone(),
                        kind: item.task.kind.clone(),
                        priority: i16::from(item.task.priority),
                        due_at,
                        version: 1,
                        payload_bytes: i32::try_from(item.task.payload.len()).unwrap_or(i32::MAX),
                    }),
                    TaskState::Scheduled => {
                        earliest_due = Some(earliest_due.map_or(due_at, |earliest| due_at.min(earliest)));
                    }
                    _ => {}
                }
                Verdict::Done(Creation { id: item.task.id, new: Some(NewState { state, created_at, due_at }) })
            }
            Created::Known { id } => Verdict::Done(Creation { id, new: None }),
            Created::IdTaken => Verdict::Refused(Error::new(
                ErrorCode::IdTaken,
                format!("the id {} is taken by a task with other content, or by one that was deleted", item.task.id),
            )),
            Created::KeyReused => Verdict::Refused(Error::new(
                ErrorCode::IdempotencyKeyReused,
                "in the last 24 hours the idempotency key was used with other content, or for a task that was deleted",
            )),
            Created::Again => Verdict::Again,
        });
        let verdicts = verdicts.collect();
        self.wakes.ready(ready);
        if let Some(due_at) = earliest_due {
            self.wakes.scheduled(due_at);
        }
        self.cache.outdate(&changes).await;
        Ok(verdicts)
    }
}

fn is_unique_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

/// The queues that are known to be there, so that a create need not look.
#[derive(Debug, Default)]
pub struct KnownQueues(RwLock<HashSet<(Namespace, String)>>);

impl KnownQueues {
    /// Makes sure that a queue is there.
    ///
    /// # Errors
    /// If the namespace has as many as it may, or the database cannot be reached.
    pub async fn ensure(&self, pool: &PgPool, namespace: Namespace, queue: &str) -> Result<()> {
        let key = (namespace, queue.to_owned());
        if self.0.read().await.contains(&key) {
            return Ok(());
        }
        if !queues::queue_ensure(pool, namespace, queue).await.map_err(failure::to_error)? {
            let message = "the namespace has as many queues as it may";
            return Err(Error::new(ErrorCode::Exhausted, message));
        }
        let mut known = self.0.write().await;
        // Bounded by what the limits allow in a hundred namespaces; then it is learnt anew.
        if known.len() > 100 * limits::QUEUES_MAX as usize {
            known.clear();
        }
        known.insert(key);
        Ok(())
    }
}
