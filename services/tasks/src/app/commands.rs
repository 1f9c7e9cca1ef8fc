//! What people do to single tasks.
//!
//! Each command can be made for a version of the task: it is refused once somebody else has changed it, and the same
//! command again, which finds what it has done itself, is answered as the first time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use taskyard_core::{
    Error, ErrorCode, Identity, Result, TaskState,
    identity::Caller,
    limits,
    task::{Namespace, NewTask, Start, Task},
};
use taskyard_postgres::{Failure, failure};
use taskyard_proto::v1::StopReason;
use taskyard_redis::Change;
use uuid::Uuid;

use super::{App, creates::Creation};
use crate::{
    fault::{self, FaultPoint},
    store::{
        commands::{self, Update, Updated},
        create::Create,
        read,
    },
};

/// How often a command looks again when the task changes under its hands.
const TRIES_MAX: u32 = 20;

impl App {
    /// Creates tasks; each is answered for itself, in order.
    ///
    /// # Errors
    /// If none could be handed to the database.
    pub async fn create(&self, caller: &Identity, tasks: Vec<NewTask>) -> Result<Vec<Result<Creation>>> {
        let namespace = caller.namespace;
        let creator = creator(caller);
        self.quotas.look(namespace).await;
        let mut answers: Vec<Option<Result<Creation>>> = Vec::with_capacity(tasks.len());
        let mut items = Vec::with_capacity(tasks.len());
        for task in tasks {
            let known = match caller.check_queue(&task.queue) {
                Ok(()) => self.queues.ensure(&self.pool, namespace, &task.queue).await,
                Err(error) => Err(error),
            };
            match known.and_then(|()| self.quotas.admit(namespace, task.payload.len())) {
                Ok(()) => {
                    answers.push(None);
                    items.push(Create { namespace, creator: creator.clone(), task });
                }
                Err(error) => answers.push(Some(Err(error))),
            }
        }
        let mut created = self.creates.submit_all(items).await?.into_iter();
        let answers: Vec<_> = answers.into_iter().filter_map(|answer| answer.or_else(|| created.next())).collect();
        self.metrics.created(answers.iter().flatten().filter(|creation| creation.new.is_some()).count());
        Ok(answers)
    }

    /// Reads a task.
    ///
    /// # Errors
    /// If there is none in this namespace.
    pub async fn get(&self, namespace: Namespace, id: Uuid) -> Result<Task> {
        read::task_read(&self.pool, namespace, id)
            .await
            .map_err(failure::to_error)?
            .ok_or_else(|| Error::task_not_found(id))
    }

    /// Cancels a waiting or running task. A canceled one stays as it is.
    ///
    /// # Errors
    /// If there is none, it has another version, or is completed or dead.
    pub async fn cancel(&self, namespace: Namespace, id: Uuid, version: Option<u32>, reason: &str) -> Result<Task> {
        let reason = reason_of(reason);
        for _ in 0..TRIES_MAX {
            let canceled = commands::task_cancel(&self.pool, namespace, id, stored(version), reason.as_deref()).await;
            if let Some(canceled) = settled(canceled)? {
                fault::reach(FaultPoint::CancelCommitted);
                if let Some((run, session)) = canceled.run {
                    self.wakes.ended([(namespace, canceled.queue.as_str(), id, run)]);
                    if let Some(pod) = canceled.pod {
                        self.tell_stop(&pod, id, run, session, StopReason::Canceled).await;
                    }
                } else {
                    self.wakes.events();
                }
                self.metrics.finished(TaskState::Canceled);
                return self.changed(namespace, id).await;
            }
            let task = self.as_told(namespace, id).await?;
            if task.state == TaskState::Canceled && is_done_for(&task, version) {
                return Ok(task);
            }
            check_version(&task, version)?;
            match task.state {
                TaskState::Completed | TaskState::Dead => return Err(wrong_state(&task, "canceled")),
                _ => self.look_again().await,
            }
        }
        Err(busy(id))
    }

    /// Completes a manual task. One that is completed stays as it is.
    ///
    /// # Errors
    /// If there is none, it has another version, or is not open.
    pub async fn complete(&self, namespace: Namespace, id: Uuid, version: Option<u32>, result: &[u8]) -> Result<Task> {
        let result = checked_result(result)?;
        for _ in 0..TRIES_MAX {
            let completed = commands::task_complete_open(&self.pool, namespace, id, stored(version), result).await;
            if settled(completed.map(|done| done.then_some(())))?.is_some() {
                fault::reach(FaultPoint::CommandCommitted);
                self.wakes.events();
                self.metrics.finished(TaskState::Completed);
                return self.changed(namespace, id).await;
            }
            let task = self.as_told(namespace, id).await?;
            let by_hand = task.state == TaskState::Completed && task.kind == limits::KIND_MANUAL;
            if by_hand && is_done_for(&task, version) {
                return Ok(task);
            }
            check_version(&task, version)?;
            match task.state {
                TaskState::Open => self.look_again().await,
                _ => return Err(wrong_state(&task, "completed by hand")),
            }
        }
        Err(busy(id))
    }

    /// Makes a dead or canceled task active again. One that is active stays as it is.
    ///
    /// # Errors
    /// If there is none, it has another version, or is completed.
    pub async fn retry(&self, namespace: Namespace, id: Uuid, version: Option<u32>) -> Result<Task> {
        self.quotas.look(namespace).await;
        self.quotas.admit(namespace, 0)?;
        for _ in 0..TRIES_MAX {
            let revived = commands::task_revive_batch(&self.pool, namespace, &[id], stored(version)).await;
            if let Some((ready, _)) = settled(revived.map(|revived| (revived.1 > 0).then_some(revived)))? {
                fault::reach(FaultPoint::CommandCommitted);
                self.wakes.ready(ready);
                return self.changed(namespace, id).await;
            }
            let task = self.as_told(namespace, id).await?;
            if !task.state.is_finished() && is_done_for(&task, version) {
                return Ok(task);
            }
            check_version(&task, version)?;
            match task.state {
                TaskState::Completed => return Err(wrong_state(&task, "retried")),
                _ => self.look_again().await,
            }
        }
        Err(busy(id))
    }

    /// Changes a task.
    ///
    /// # Errors
    /// If there is none, it has another version, or its state does not allow the change.
    pub async fn update(&self, namespace: Namespace, update: taskyard_proto::convert::Update) -> Result<Task> {
        let id = update.id;
        let now = Utc::now();
        let due_at = update.start.map(|start| due_time(start, now));
        let changes = Update {
            title: update.title,
            description: update.description,
            labels: update.labels,
            priority: update.priority,
            due_at,
            version: stored(update.version),
        };
        for _ in 0..TRIES_MAX {
            let updated = commands::task_update_active(&self.pool, namespace, id, &changes).await;
            if let Some(updated) = settled(updated)? {
                fault::reach(FaultPoint::CommandCommitted);
                match updated {
                    Updated::Ready(task) => self.wakes.ready([task]),
                    Updated::Scheduled(due_at) => self.wakes.scheduled(due_at),
                    Updated::Other => self.wakes.events(),
                }
                return self.changed(namespace, id).await;
            }
            let task = self.as_told(namespace, id).await?;
            check_version(&task, update.version)?;
            if changes.due_at.is_some() && !matches!(task.state, TaskState::Ready | TaskState::Scheduled) {
                return Err(wrong_state(&task, "given another time"));
            }
            if task.state.is_finished() {
                if changes.priority.is_some() {
                    return Err(wrong_state(&task, "given another priority"));
                }
                let updated = commands::task_update_finished(&self.pool, namespace, id, &changes).await;
                if settled(updated.map(|done| done.then_some(())))?.is_some() {
                    fault::reach(FaultPoint::CommandCommitted);
                    self.wakes.events();
                    return self.changed(namespace, id).await;
                }
            }
            self.look_again().await;
        }
        Err(busy(id))
    }

    /// Deletes a task that does not run.
    ///
    /// # Errors
    /// If there is none, it has another version, or runs.
    pub async fn delete(&self, namespace: Namespace, id: Uuid, version: Option<u32>) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let deleted = commands::task_delete(&self.pool, namespace, id, stored(version)).await;
            if settled(deleted.map(|done| done.then_some(())))?.is_some() {
                fault::reach(FaultPoint::CommandCommitted);
                self.wakes.events();
                self.outdate(namespace, &[id]).await;
                return Ok(());
            }
            let task = self.as_told(namespace, id).await?;
            check_version(&task, version)?;
            if task.state == TaskState::Running {
                return Err(wrong_state(&task, "deleted; cancel it first"));
            }
            self.look_again().await;
        }
        Err(busy(id))
    }

    /// A task, as a caller is about to be told that it stands, or that there is none: so it must be read from now on.
    async fn as_told(&self, namespace: Namespace, id: Uuid) -> Result<Task> {
        let task = self.get(namespace, id).await;
        let version = task.as_ref().ok().map(|task| task.version);
        self.cache.outdate(&[Change { namespace, id: Some(id), version }]).await;
        task
    }

    /// A task that was changed, as it stands now.
    async fn changed(&self, namespace: Namespace, id: Uuid) -> Result<Task> {
        self.outdate(namespace, &[id]).await;
        self.get(namespace, id).await
    }

    pub(super) async fn look_again(&self) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a statement did; nothing if it must be repeated at once.
pub(super) fn settled<T>(result: Result<Option<T>, sqlx::Error>) -> Result<Option<T>> {
    match result {
        Err(error) if Failure::of(&error) == Failure::Repeat => Ok(None),
        result => result.map_err(failure::to_error),
    }
}

/// A reason as it is kept.
pub(super) fn reason_of(text: &str) -> Option<String> {
    Some(limits::clean_message(text, limits::ERROR_BYTES_MAX)).filter(|reason| !reason.is_empty())
}

/// A result as it is kept.
pub(super) fn checked_result(result: &[u8]) -> Result<&[u8]> {
    let result = if result.is_empty() { b"null" } else { result };
    limits::check_json("result", result, limits::RESULT_BYTES_MAX)?;
    Ok(result)
}

/// A version as it is stored. A number that no task can have matches none.
fn stored(version: Option<u32>) -> Option<i32> {
    version.map(|version| i32::try_from(version).unwrap_or(i32::MAX))
}

/// Whether a task that stands as a command wants it stands so for this version: it stood so already, or the command
/// itself, whose answer was lost, came right after.
fn is_done_for(task: &Task, version: Option<u32>) -> bool {
    version.is_none_or(|version| task.version == version || task.version.checked_sub(1) == Some(version))
}

fn check_version(task: &Task, version: Option<u32>) -> Result<()> {
    if version.is_none_or(|version| version == task.version) {
        return Ok(());
    }
    let message = format!("the task has version {}; read it again and decide anew", task.version);
    Err(Error::new(ErrorCode::VersionMismatch, message))
}

/// As it stands on a task: an e-mail address, or a key's name.
pub fn creator(caller: &Identity) -> String {
    match caller.caller {
        Caller::Key { .. } => format!("key:{}", caller.name),
        Caller::User { .. } | Caller::Service(_) => caller.name.clone(),
    }
}

fn wrong_state(task: &Task, what: &str) -> Error {
    Error::new(ErrorCode::WrongState, format!("the task is {} and cannot be {what}", task.state))
}

fn busy(id: Uuid) -> Error {
    Error::unavailable(format!("task {id} changes too fast; try again"))
}

fn due_time(start: Start, now: DateTime<Utc>) -> DateTime<Utc> {
    match start {
        Start::Now => now,
        Start::At(time) => time,
        Start::After(delay) => now + TimeDelta::from_std(delay).unwrap_or(TimeDelta::MAX / 4),
    }
}
