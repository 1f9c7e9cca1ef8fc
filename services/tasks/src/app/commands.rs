//! What people do to tasks.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use taskyard_core::{
    Error, ErrorCode, Identity, Result, TaskState,
    identity::Caller,
    limits,
    task::{Filter, Namespace, NewTask, Order, Start, Task},
};
use taskyard_postgres::{Failure, failure};
use taskyard_proto::v1::StopReason;
use uuid::Uuid;

use super::{App, creates::Creation};
use crate::{
    fault::{self, FaultPoint},
    store::{
        commands::{self, Update, Updated},
        create::Create,
        list, read,
    },
};

/// How often a command looks again when the task changes under its hands.
const TRIES_MAX: u32 = 20;
/// Tasks of one statement of a retry by filter.
const RETRY_CHUNK: u32 = 200;

impl App {
    /// Creates tasks; each is answered for itself, in order.
    ///
    /// # Errors
    /// If none could be handed to the database.
    pub async fn create(&self, caller: &Identity, tasks: Vec<NewTask>) -> Result<Vec<Result<Creation>>> {
        let namespace = caller.namespace;
        let creator = creator(caller);
        let mut answers: Vec<Option<Result<Creation>>> = Vec::with_capacity(tasks.len());
        let mut items = Vec::with_capacity(tasks.len());
        for task in tasks {
            let known = match caller.check_queue(&task.queue) {
                Ok(()) => self.queues.ensure(&self.pool, namespace, &task.queue).await,
                Err(error) => Err(error),
            };
            match known {
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
    /// If there is none, or it is completed or dead.
    pub async fn cancel(&self, namespace: Namespace, id: Uuid, reason: &str) -> Result<Task> {
        let reason = limits::clean_message(reason, limits::ERROR_BYTES_MAX);
        let reason = (!reason.is_empty()).then_some(reason.as_str());
        for _ in 0..TRIES_MAX {
            let canceled = commands::task_cancel(&self.pool, namespace, id, reason).await;
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
                return self.get(namespace, id).await;
            }
            let task = self.get(namespace, id).await?;
            match task.state {
                TaskState::Canceled => return Ok(task),
                TaskState::Completed | TaskState::Dead => return Err(wrong_state(&task, "canceled")),
                _ => self.look_again().await,
            }
        }
        Err(busy(id))
    }

    /// Completes a manual task. One that is completed stays as it is.
    ///
    /// # Errors
    /// If there is none, or it is not open.
    pub async fn complete(&self, namespace: Namespace, id: Uuid, result: &[u8]) -> Result<Task> {
        let result = if result.is_empty() { b"null" } else { result };
        limits::check_json("result", result, limits::RESULT_BYTES_MAX)?;
        for _ in 0..TRIES_MAX {
            let completed = commands::task_complete_open(&self.pool, namespace, id, result).await;
            if settled(completed.map(|done| done.then_some(())))?.is_some() {
                fault::reach(FaultPoint::CommandCommitted);
                self.wakes.events();
                self.metrics.finished(TaskState::Completed);
                return self.get(namespace, id).await;
            }
            let task = self.get(namespace, id).await?;
            match task.state {
                TaskState::Completed if task.kind == limits::KIND_MANUAL => return Ok(task),
                TaskState::Open => self.look_again().await,
                _ => return Err(wrong_state(&task, "completed by hand")),
            }
        }
        Err(busy(id))
    }

    /// Makes a dead or canceled task active again. One that is active stays as it is.
    ///
    /// # Errors
    /// If there is none, or it is completed.
    pub async fn retry(&self, namespace: Namespace, id: Uuid) -> Result<Task> {
        for _ in 0..TRIES_MAX {
            let revived = commands::task_revive_batch(&self.pool, namespace, &[id]).await;
            if let Some((ready, _)) = settled(revived.map(|revived| (revived.1 > 0).then_some(revived)))? {
                fault::reach(FaultPoint::CommandCommitted);
                self.wakes.ready(ready);
                return self.get(namespace, id).await;
            }
            let task = self.get(namespace, id).await?;
            match task.state {
                TaskState::Dead | TaskState::Canceled => self.look_again().await,
                TaskState::Completed => return Err(wrong_state(&task, "retried")),
                _ => return Ok(task),
            }
        }
        Err(busy(id))
    }

    /// Retries the next dead tasks that match. Returns how many, and whether that was all.
    ///
    /// # Errors
    /// If the filter names other states, or the database cannot be reached.
    pub async fn retry_some(
        &self,
        namespace: Namespace,
        filter: &Filter,
        after: &mut Option<list::Cursor>,
    ) -> Result<(u64, bool)> {
        if filter.states.iter().any(|state| *state != TaskState::Dead) {
            return Err(Error::invalid(
                "filter.states",
                "only dead tasks are retried by filter; leave it empty or say dead",
            ));
        }
        let filter = Filter { states: vec![TaskState::Dead], ..filter.clone() };
        self.check_index_for(&filter).await?;
        let page = list::task_list(&self.pool, namespace, &filter, Order::CreatedAsc, *after, RETRY_CHUNK)
            .await
            .map_err(failure::to_error)?;
        let ids: Vec<Uuid> = page.tasks.iter().map(|task| task.id).collect();
        let mut retried = 0;
        if !ids.is_empty() {
            let revived = commands::task_revive_batch(&self.pool, namespace, &ids).await;
            let Some((ready, count)) = settled(revived.map(Some))? else {
                // The same page again.
                return Ok((0, false));
            };
            fault::reach(FaultPoint::CommandCommitted);
            self.wakes.ready(ready);
            retried = count as u64;
        }
        *after = page.next;
        Ok((retried, page.next.is_none()))
    }

    /// Changes a task.
    ///
    /// # Errors
    /// If there is none, it has another version, or its state does not allow the change.
    pub async fn update(&self, namespace: Namespace, update: taskyard_proto::convert::Update) -> Result<Task> {
        let id = update.id;
        // A number that no task can have matches none.
        let version = update.version.map(|version| i32::try_from(version).unwrap_or(i32::MAX));
        let now = Utc::now();
        let due_at = update.start.map(|start| due_time(start, now));
        let changes = Update {
            title: update.title,
            description: update.description,
            labels: update.labels,
            priority: update.priority,
            due_at,
            version,
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
                return self.get(namespace, id).await;
            }
            let task = self.get(namespace, id).await?;
            if changes.version.is_some_and(|version| version.cast_unsigned() != task.version) {
                let message = format!("the task has version {}; read it again and decide anew", task.version);
                return Err(Error::new(ErrorCode::VersionMismatch, message));
            }
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
                    return self.get(namespace, id).await;
                }
            }
            self.look_again().await;
        }
        Err(busy(id))
    }

    /// Deletes a task that does not run.
    ///
    /// # Errors
    /// If there is none, or it runs.
    pub async fn delete(&self, namespace: Namespace, id: Uuid) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let deleted = commands::task_delete(&self.pool, namespace, id).await;
            if settled(deleted.map(|done| done.then_some(())))?.is_some() {
                fault::reach(FaultPoint::CommandCommitted);
                self.wakes.events();
                return Ok(());
            }
            let task = self.get(namespace, id).await?;
            if task.state == TaskState::Running {
                return Err(wrong_state(&task, "deleted; cancel it first"));
            }
            self.look_again().await;
        }
        Err(busy(id))
    }

    async fn look_again(&self) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a statement did; nothing if it must be repeated at once.
fn settled<T>(result: Result<Option<T>, sqlx::Error>) -> Result<Option<T>> {
    match result {
        Err(error) if Failure::of(&error) == Failure::Repeat => Ok(None),
        result => result.map_err(failure::to_error),
    }
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
