//! Calls of the task service.

use std::fmt::Display;

use prost::Message;
use taskyard_core::{Error, ErrorCode, Result, id, limits};
use taskyard_proto::v1;

use super::{CancelTasks, Client, CompleteTasks, RetryTasks, Sweep, Watch, check_size};
use crate::error::incomplete;

const REQUEST_BYTES_TARGET: usize = limits::REQUEST_BYTES_MAX / 2;

impl Client {
    /// Creates a task. One without id and idempotency key gets an id first, so that the call can be repeated safely.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn create_task(&self, mut task: v1::NewTask) -> Result<v1::CreateTaskResponse> {
        give_id(&mut task);
        let request = v1::CreateTaskRequest { task: Some(task) };
        self.send(request, |pod, request| async move { pod.tasks().create_task(request).await }).await
    }

    /// Creates any number of tasks, in as many requests as that takes. Each has an answer of its own, in order.
    ///
    /// # Errors
    /// If a task is too large for any request: nothing is created then. If a request failed as a whole: the tasks of
    /// earlier requests are created then; with ids or idempotency keys of the caller's own, all can be sent again.
    pub async fn create_tasks(&self, mut tasks: Vec<v1::NewTask>) -> Result<Vec<v1::CreateTasksResult>> {
        tasks.iter_mut().for_each(give_id);
        for (place, task) in tasks.iter().enumerate() {
            check_size(format_args!("tasks[{place}]"), task.encoded_len())?;
        }
        let mut results = Vec::with_capacity(tasks.len());
        let mut tasks = tasks.into_iter().peekable();
        while tasks.peek().is_some() {
            let mut batch = Vec::new();
            let mut bytes = 0;
            while let Some(task) = tasks.next_if(|task| fits(&batch, bytes, task)) {
                bytes += task.encoded_len();
                batch.push(task);
            }
            let expected = batch.len();
            let request = v1::CreateTasksRequest { tasks: batch };
            let response =
                self.send(request, |pod, request| async move { pod.tasks().create_tasks(request).await }).await?;
            if response.results.len() != expected {
                return Err(Error::new(
                    ErrorCode::Internal,
                    format!("the server answered {} results for {expected} tasks", response.results.len()),
                ));
            }
            results.extend(response.results);
        }
        Ok(results)
    }

    /// Reads a task with payload, result and last progress.
    ///
    /// # Errors
    /// `TASK_NOT_FOUND`, or that the server did not answer in time.
    pub async fn get_task(&self, id: impl Display) -> Result<v1::Task> {
        let request = v1::GetTaskRequest { id: id.to_string() };
        let response = self.send(request, |pod, request| async move { pod.tasks().get_task(request).await }).await?;
        response.task.ok_or_else(|| incomplete("task"))
    }

    /// Lists one page of tasks.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn list_tasks(&self, request: v1::ListTasksRequest) -> Result<v1::ListTasksResponse> {
        self.send(request, |pod, request| async move { pod.tasks().list_tasks(request).await }).await
    }

    /// Finds one page of tasks by their words.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn search_tasks(&self, request: v1::SearchTasksRequest) -> Result<v1::SearchTasksResponse> {
        self.send(request, |pod, request| async move { pod.tasks().search_tasks(request).await }).await
    }

    /// Changes what `update_mask` names.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn update_task(&self, request: v1::UpdateTaskRequest) -> Result<v1::Task> {
        let response = self.send(request, |pod, request| async move { pod.tasks().update_task(request).await }).await?;
        response.task.ok_or_else(|| incomplete("task"))
    }

    /// Deletes a task that does not run.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn delete_task(&self, id: impl Display) -> Result<()> {
        let request = v1::DeleteTaskRequest { id: id.to_string(), version: 0 };
        self.send(request, |pod, request| async move { pod.tasks().delete_task(request).await }).await.map(drop)
    }

    /// Completes a manual task; `result` is a JSON document or empty.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn complete_task(&self, id: impl Display, result: impl Into<bytes::Bytes>) -> Result<v1::Task> {
        let request = v1::CompleteTaskRequest { id: id.to_string(), result: result.into(), version: 0 };
        let response =
            self.send(request, |pod, request| async move { pod.tasks().complete_task(request).await }).await?;
        response.task.ok_or_else(|| incomplete("task"))
    }

    /// Cancels a waiting or running task.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn cancel_task(&self, id: impl Display, reason: impl Into<String>) -> Result<v1::Task> {
        let request = v1::CancelTaskRequest { id: id.to_string(), reason: reason.into(), version: 0 };
        let response = self.send(request, |pod, request| async move { pod.tasks().cancel_task(request).await }).await?;
        response.task.ok_or_else(|| incomplete("task"))
    }

    /// Makes a dead or canceled task ready again.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn retry_task(&self, id: impl Display) -> Result<v1::Task> {
        let request = v1::RetryTaskRequest { id: id.to_string(), version: 0 };
        let response = self.send(request, |pod, request| async move { pod.tasks().retry_task(request).await }).await?;
        response.task.ok_or_else(|| incomplete("task"))
    }

    /// Retries all dead tasks that match; see [`Sweep::next`].
    #[must_use]
    pub fn retry_tasks(&self, filter: v1::TaskFilter) -> RetryTasks {
        Sweep::new(self.pods.clone(), v1::RetryTasksRequest { filter: Some(filter) })
    }

    /// Cancels all waiting and running tasks that match; see [`Sweep::next`].
    #[must_use]
    pub fn cancel_tasks(&self, filter: v1::TaskFilter, reason: impl Into<String>) -> CancelTasks {
        Sweep::new(self.pods.clone(), v1::CancelTasksRequest { filter: Some(filter), reason: reason.into() })
    }

    /// Completes all manual tasks that match, all with the same result; see [`Sweep::next`].
    #[must_use]
    pub fn complete_tasks(&self, filter: v1::TaskFilter, result: impl Into<bytes::Bytes>) -> CompleteTasks {
        Sweep::new(self.pods.clone(), v1::CompleteTasksRequest { filter: Some(filter), result: result.into() })
    }

    /// Watches events, and progress if asked for; see [`Watch::next`].
    #[must_use]
    pub fn watch(&self, request: v1::WatchTasksRequest) -> Watch {
        Watch::new(self.pods.clone(), request)
    }

    /// Reads one page of events.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn list_events(&self, request: v1::ListEventsRequest) -> Result<v1::ListEventsResponse> {
        self.send(request, |pod, request| async move { pod.tasks().list_events(request).await }).await
    }
}

/// An idempotency key makes a create repeatable by itself, also for a caller that starts anew: a new id each time
/// would only make its repetitions look different.
fn give_id(task: &mut v1::NewTask) {
    if task.id.is_empty() && task.idempotency_key.is_empty() {
        task.id = id::new_task_id().to_string();
    }
}

fn fits(batch: &[v1::NewTask], bytes: usize, task: &v1::NewTask) -> bool {
    batch.is_empty() || batch.len() < limits::BATCH_TASKS_MAX && bytes + task.encoded_len() <= REQUEST_BYTES_TARGET
}
