//! A pod with its stack, and calls that are one line each.

use std::{fmt::Debug, time::Duration};

use anyhow::{Context, Result};
use taskyard_core::{Error, ErrorCode};
use taskyard_proto::{
    status::from_status,
    v1::{
        Assignment, CancelTaskRequest, CompleteTaskRequest, CreateTaskRequest, CreateTasksRequest, CreateTasksResult,
        DeleteTaskRequest, Event, GetTaskRequest, ListEventsRequest, NewTask, Queue, RetryPolicy, RetryTaskRequest,
        Stop, Task, TaskState, TaskUpdate, UpdateTaskRequest, create_tasks_result,
        queue_service_client::QueueServiceClient, task_service_client::TaskServiceClient,
    },
};
use taskyard_testkit::eventually;
use taskyard_tests::{Pod, RawWorker, Stack, WorkerOptions};
use tonic::{Response, Status, transport::Channel};

/// Long enough on a busy machine; only what fails waits so long.
pub const SOON: Duration = Duration::from_secs(20);
/// How long a test listens for what must not come.
pub const NEVER: Duration = Duration::from_millis(700);

/// What a call came to.
pub type Answer<T> = std::result::Result<T, Error>;

pub struct Setup {
    pub stack: Stack,
    pub pod: Pod,
    pub tasks: TaskServiceClient<Channel>,
    pub queues: QueueServiceClient<Channel>,
}

impl Setup {
    pub async fn open() -> Result<Self> {
        let mut stack = Stack::shared().await?;
        // A pod that stops waits for half of it for the workers that a test leaves behind.
        stack.flags = vec!["--tasks-grace-period-s".to_owned(), "4".to_owned()];
        let pod = stack.pod().await?;
        let (tasks, queues) = (pod.tasks().await?, pod.queues().await?);
        Ok(Self { stack, pod, tasks, queues })
    }

    pub async fn close(self) -> Result<()> {
        self.pod.stop().await?;
        self.stack.close().await
    }

    /// A worker of this pod.
    pub async fn worker(&self, options: WorkerOptions) -> Result<RawWorker> {
        RawWorker::open(&self.pod.url(), options).await
    }

    /// A worker of the default queues and kind, with so many slots.
    pub async fn worker_with(&self, slots: u32) -> Result<RawWorker> {
        self.worker(WorkerOptions { slots, ..WorkerOptions::default() }).await
    }

    pub async fn create(&self, task: NewTask) -> Answer<Task> {
        Ok(self.create_or_find(task).await?.0)
    }

    /// The task, and whether it is new.
    pub async fn create_or_find(&self, task: NewTask) -> Answer<(Task, bool)> {
        create_on(&self.tasks, task).await
    }

    pub async fn create_all(&self, tasks: Vec<NewTask>) -> Answer<Vec<CreateTasksResult>> {
        Ok(read(self.tasks.clone().create_tasks(CreateTasksRequest { tasks }).await)?.results)
    }

    pub async fn get(&self, id: &str) -> Answer<Task> {
        let answer = self.tasks.clone().get_task(GetTaskRequest { id: id.to_owned() }).await;
        Ok(read(answer)?.task.unwrap_or_default())
    }

    pub async fn cancel(&self, id: &str, reason: &str) -> Answer<Task> {
        let request = CancelTaskRequest { id: id.to_owned(), reason: reason.to_owned() };
        Ok(read(self.tasks.clone().cancel_task(request).await)?.task.unwrap_or_default())
    }

    pub async fn complete(&self, id: &str, result: &str) -> Answer<Task> {
        let request = CompleteTaskRequest { id: id.to_owned(), result: result.to_owned().into() };
        Ok(read(self.tasks.clone().complete_task(request).await)?.task.unwrap_or_default())
    }

    pub async fn retry(&self, id: &str) -> Answer<Task> {
        let answer = self.tasks.clone().retry_task(RetryTaskRequest { id: id.to_owned() }).await;
        Ok(read(answer)?.task.unwrap_or_default())
    }

    pub async fn delete(&self, id: &str) -> Answer<()> {
        read(self.tasks.clone().delete_task(DeleteTaskRequest { id: id.to_owned() }).await).map(drop)
    }

    /// Changes what `mask` names, separated by commas; a version of 0 is any.
    pub async fn update(&self, id: &str, mask: &str, new: TaskUpdate, version: u32) -> Answer<Task> {
        let update_mask = Some(prost_types::FieldMask { paths: mask.split(',').map(str::to_owned).collect() });
        let request = UpdateTaskRequest { id: id.to_owned(), task: Some(new), update_mask, version };
        Ok(read(self.tasks.clone().update_task(request).await)?.task.unwrap_or_default())
    }

    /// All events of a task.
    pub async fn events(&self, id: &str) -> Answer<Vec<Event>> {
        let request = ListEventsRequest { task_id: id.to_owned(), page_size: 1_000, ..ListEventsRequest::default() };
        Ok(read(self.tasks.clone().list_events(request).await)?.events)
    }

    /// Waits until the task stands so.
    pub async fn until(&self, id: &str, state: TaskState) -> Result<Task> {
        eventually(SOON, format!("task {id} is {state:?}"), async || {
            self.get(id).await.ok().filter(|task| task.state() == state)
        })
        .await
    }

    /// Waits until all events up to the task's newest one can be read.
    pub async fn events_until(&self, id: &str, version: u32) -> Result<Vec<Event>> {
        eventually(SOON, format!("event {version} of task {id}"), async || {
            self.events(id).await.ok().filter(|events| events.last().is_some_and(|event| event.version >= version))
        })
        .await
    }

    pub async fn queue(&self, name: &str) -> Result<Queue> {
        let page = self.queues.clone().list_queues(taskyard_proto::v1::ListQueuesRequest::default()).await?;
        page.into_inner().queues.into_iter().find(|queue| queue.name == name).context("no such queue")
    }
}

pub async fn create_on(tasks: &TaskServiceClient<Channel>, task: NewTask) -> Answer<(Task, bool)> {
    let answer = read(tasks.clone().create_task(CreateTaskRequest { task: Some(task) }).await)?;
    Ok((answer.task.unwrap_or_default(), answer.created))
}

/// The answer, or the error as our callers read it.
pub fn read<T>(answer: std::result::Result<Response<T>, Status>) -> Answer<T> {
    answer.map(Response::into_inner).map_err(|status| from_status(&status))
}

/// The code with which a call was refused.
#[track_caller]
pub fn refused<T: Debug>(answer: Answer<T>) -> ErrorCode {
    answer.expect_err("it is refused").code
}

/// The fields that a refused call names.
#[track_caller]
pub fn wrong_fields<T: Debug>(answer: Answer<T>) -> Vec<String> {
    let error = answer.expect_err("it is refused");
    assert_eq!(error.code, ErrorCode::InvalidInput, "{error}");
    assert!(!error.message.is_empty());
    error.violations.into_iter().map(|violation| violation.field).collect()
}

/// What became of one task of a batch: its id and whether it is new, or the code and the field.
pub fn outcome(result: &CreateTasksResult) -> std::result::Result<(&str, bool), (&str, &str)> {
    match result.result.as_ref().expect("an answer for each") {
        create_tasks_result::Result::Created(created) => Ok((&created.id, created.created)),
        create_tasks_result::Result::Error(error) => Err((&error.code, &error.field)),
    }
}

/// Waits until the worker is told to stop something.
pub async fn next_stop(worker: &mut RawWorker) -> Result<Stop> {
    let deadline = tokio::time::Instant::now() + SOON;
    while worker.stops.is_empty() {
        let stepped = tokio::time::timeout_at(deadline, worker.step()).await.context("no stop came")?;
        anyhow::ensure!(stepped?, "the stream ended before the stop");
    }
    Ok(worker.stops.remove(0))
}

/// The next run, which must come.
pub async fn next_run(worker: &mut RawWorker) -> Result<Assignment> {
    worker.next_run(SOON).await?.context("no run came")
}

/// Fails if a run comes.
pub async fn no_run(worker: &mut RawWorker) -> Result<()> {
    if let Some(run) = worker.next_run(NEVER).await? {
        anyhow::bail!("a run came: {} run {} of queue {}", run.task_id, run.run, run.queue);
    }
    Ok(())
}

pub fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

pub fn millis(millis: i64) -> Option<prost_types::Duration> {
    let nanos = i32::try_from(millis % 1_000).expect("below a second") * 1_000_000;
    Some(prost_types::Duration { seconds: millis / 1_000, nanos })
}

/// A time as a message holds it.
pub fn timestamp(time: chrono::DateTime<chrono::Utc>) -> Option<prost_types::Timestamp> {
    Some(taskyard_proto::convert::timestamp_to_proto(time))
}

pub fn time(timestamp: Option<prost_types::Timestamp>) -> chrono::DateTime<chrono::Utc> {
    let timestamp = timestamp.expect("a time");
    chrono::DateTime::from_timestamp(timestamp.seconds, u32::try_from(timestamp.nanos).expect("in range"))
        .expect("in range")
}

/// A policy with so many attempts and next to no delay.
pub fn retry_policy(attempts_max: u32) -> Option<RetryPolicy> {
    Some(RetryPolicy { attempts_max, backoff: millis(1), backoff_max: millis(1) })
}
