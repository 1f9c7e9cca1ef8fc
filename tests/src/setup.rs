//! A pod of a stack of its own, and calls that are one line each.

use std::time::Duration;

use anyhow::{Context, Result};
use taskyard_core::Error;
use taskyard_proto::{
    status::from_status,
    v1::{
        CancelTaskRequest, CompleteTaskRequest, CreateTaskRequest, CreateTasksRequest, CreateTasksResult,
        DeleteTaskRequest, Event, GetTaskRequest, ListEventsRequest, ListQueuesRequest, NewTask, PauseQueueRequest,
        Queue, ResumeQueueRequest, RetryTaskRequest, SetQueueLimitsRequest, Task, TaskState, TaskUpdate,
        UpdateTaskRequest, queue_service_client::QueueServiceClient, task_service_client::TaskServiceClient,
    },
};
use taskyard_testkit::eventually;
use tonic::{Response, Status};

use crate::{Calls, Pod, RawWorker, Stack, WorkerOptions};

/// Long enough on a busy machine; only what fails waits so long.
pub const SOON: Duration = Duration::from_secs(20);
/// What a call came to.
pub type Answer<T> = std::result::Result<T, Error>;

pub struct Setup {
    pub stack: Stack,
    pub pod: Pod,
    pub tasks: TaskServiceClient<Calls>,
    pub queues: QueueServiceClient<Calls>,
}

impl Setup {
    pub async fn open() -> Result<Self> {
        Self::on(Stack::shared().await?).await
    }

    pub async fn on(mut stack: Stack) -> Result<Self> {
        // A pod that stops waits for half of it for the workers that a test leaves behind.
        stack.flags.extend(["--tasks-grace-period-s".to_owned(), "4".to_owned()]);
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
        let request = CancelTaskRequest { id: id.to_owned(), reason: reason.to_owned(), version: 0 };
        Ok(read(self.tasks.clone().cancel_task(request).await)?.task.unwrap_or_default())
    }

    pub async fn complete(&self, id: &str, result: &str) -> Answer<Task> {
        let request = CompleteTaskRequest { id: id.to_owned(), result: result.to_owned().into(), version: 0 };
        Ok(read(self.tasks.clone().complete_task(request).await)?.task.unwrap_or_default())
    }

    pub async fn retry(&self, id: &str) -> Answer<Task> {
        let answer = self.tasks.clone().retry_task(RetryTaskRequest { id: id.to_owned(), version: 0 }).await;
        Ok(read(answer)?.task.unwrap_or_default())
    }

    pub async fn delete(&self, id: &str) -> Answer<()> {
        read(self.tasks.clone().delete_task(DeleteTaskRequest { id: id.to_owned(), version: 0 }).await).map(drop)
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

    pub async fn pause(&self, name: &str) -> Answer<Queue> {
        let answer = self.queues.clone().pause_queue(PauseQueueRequest { name: name.to_owned() }).await;
        Ok(read(answer)?.queue.unwrap_or_default())
    }

    pub async fn resume(&self, name: &str) -> Answer<Queue> {
        let answer = self.queues.clone().resume_queue(ResumeQueueRequest { name: name.to_owned() }).await;
        Ok(read(answer)?.queue.unwrap_or_default())
    }

    pub async fn limit(&self, name: &str, concurrency_max: u32) -> Answer<Queue> {
        let request = SetQueueLimitsRequest { name: name.to_owned(), concurrency_max };
        Ok(read(self.queues.clone().set_queue_limits(request).await)?.queue.unwrap_or_default())
    }

    pub async fn queue(&self, name: &str) -> Result<Queue> {
        let page = self.queues.clone().list_queues(ListQueuesRequest::default()).await?;
        page.into_inner().queues.into_iter().find(|queue| queue.name == name).context("no such queue")
    }
}

pub async fn create_on(tasks: &TaskServiceClient<Calls>, task: NewTask) -> Answer<(Task, bool)> {
    let answer = read(tasks.clone().create_task(CreateTaskRequest { task: Some(task) }).await)?;
    Ok((answer.task.unwrap_or_default(), answer.created))
}

/// The answer, or the error as our callers read it.
pub fn read<T>(answer: std::result::Result<Response<T>, Status>) -> Answer<T> {
    answer.map(Response::into_inner).map_err(|status| from_status(&status))
}
