//! TaskService.

use chrono::Utc;
use taskyard_core::{
    Error, Result, limits,
    task::{Namespace, NewTask, Task},
};
use taskyard_postgres::failure;
use taskyard_proto::{
    convert::{self, read_position, read_task_id, task_to_proto},
    status::to_status,
    v1::{
        self, CancelTaskRequest, CancelTaskResponse, CancelTasksRequest, CancelTasksResponse, CompleteTaskRequest,
        CompleteTaskResponse, CompleteTasksRequest, CompleteTasksResponse, CreateTaskRequest, CreateTaskResponse,
        CreateTasksRequest, CreateTasksResponse, CreateTasksResult, CreatedTask, DeleteTaskRequest, DeleteTaskResponse,
        GetTaskRequest, GetTaskResponse, ListEventsRequest, ListEventsResponse, ListTasksRequest, ListTasksResponse,
        RetryTaskRequest, RetryTaskResponse, RetryTasksRequest, RetryTasksResponse, UpdateTaskRequest,
        UpdateTaskResponse, WatchTasksRequest, WatchTasksResponse, create_tasks_result,
    },
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use super::Api;
use crate::{
    app::{creates::NewState, sweeps::Sweep},
    store::{epoch, events},
    watch::{self, Wanted},
};

pub(super) type ResponseStream<T> = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl v1::task_service_server::TaskService for Api {
    type WatchTasksStream = ResponseStream<WatchTasksResponse>;
    type RetryTasksStream = ResponseStream<RetryTasksResponse>;
    type CancelTasksStream = ResponseStream<CancelTasksResponse>;
    type CompleteTasksStream = ResponseStream<CompleteTasksResponse>;

    async fn create_task(&self, request: Request<CreateTaskRequest>) -> Result<Response<CreateTaskResponse>, Status> {
        self.create_one(request.into_inner()).await.map(Response::new).map_err(to_status)
    }

    async fn create_tasks(
        &self,
        request: Request<CreateTasksRequest>,
    ) -> Result<Response<CreateTasksResponse>, Status> {
        self.create_batch(request.into_inner()).await.map(Response::new).map_err(to_status)
    }

    async fn get_task(&self, request: Request<GetTaskRequest>) -> Result<Response<GetTaskResponse>, Status> {
        let task = async {
            let id = read_task_id("id", &request.get_ref().id)?;
            self.app.get(self.namespace(), id).await
        };
        Ok(Response::new(GetTaskResponse { task: Some(self.show(task.await.map_err(to_status)?)) }))
    }

    async fn list_tasks(&self, request: Request<ListTasksRequest>) -> Result<Response<ListTasksResponse>, Status> {
        let request = request.into_inner();
        let page = async {
            let filter = convert::filter(request.filter)?;
            let order = convert::order(request.order)?;
            self.app.list(self.namespace(), &filter, order, request.page_size, &request.page_token).await
        };
        let (tasks, next_page_token) = page.await.map_err(to_status)?;
        let tasks = tasks.into_iter().map(|task| self.show(task)).collect();
        Ok(Response::new(ListTasksResponse { tasks, next_page_token }))
    }

    async fn update_task(&self, request: Request<UpdateTaskRequest>) -> Result<Response<UpdateTaskResponse>, Status> {
        let task = async {
            let update = convert::update(request.into_inner(), Utc::now())?;
            self.app.update(self.namespace(), update).await
        };
        Ok(Response::new(UpdateTaskResponse { task: Some(self.show(task.await.map_err(to_status)?)) }))
    }

    async fn delete_task(&self, request: Request<DeleteTaskRequest>) -> Result<Response<DeleteTaskResponse>, Status> {
        let DeleteTaskRequest { id, version } = request.into_inner();
        let id = read_task_id("id", &id).map_err(to_status)?;
        self.app.delete(self.namespace(), id, given(version)).await.map_err(to_status)?;
        Ok(Response::new(DeleteTaskResponse {}))
    }

    async fn complete_task(
        &self,
        request: Request<CompleteTaskRequest>,
    ) -> Result<Response<CompleteTaskResponse>, Status> {
        let CompleteTaskRequest { id, result, version } = request.into_inner();
        let id = read_task_id("id", &id).map_err(to_status)?;
        let task = self.app.complete(self.namespace(), id, given(version), &result).await.map_err(to_status)?;
        Ok(Response::new(CompleteTaskResponse { task: Some(self.show(task)) }))
    }

    async fn cancel_task(&self, request: Request<CancelTaskRequest>) -> Result<Response<CancelTaskResponse>, Status> {
        let CancelTaskRequest { id, reason, version } = request.into_inner();
        let id = read_task_id("id", &id).map_err(to_status)?;
        let task = self.app.cancel(self.namespace(), id, given(version), &reason).await.map_err(to_status)?;
        Ok(Response::new(CancelTaskResponse { task: Some(self.show(task)) }))
    }

    async fn retry_task(&self, request: Request<RetryTaskRequest>) -> Result<Response<RetryTaskResponse>, Status> {
        let RetryTaskRequest { id, version } = request.into_inner();
        let id = read_task_id("id", &id).map_err(to_status)?;
        let task = self.app.retry(self.namespace(), id, given(version)).await.map_err(to_status)?;
        Ok(Response::new(RetryTaskResponse { task: Some(self.show(task)) }))
    }

    async fn retry_tasks(
        &self,
        request: Request<RetryTasksRequest>,
    ) -> Result<Response<Self::RetryTasksStream>, Status> {
        let sweep = convert::filter(request.into_inner().filter).and_then(Sweep::retry).map_err(to_status)?;
        Ok(self.sweep(sweep, |retried, done| RetryTasksResponse { retried, done }))
    }

    async fn cancel_tasks(
        &self,
        request: Request<CancelTasksRequest>,
    ) -> Result<Response<Self::CancelTasksStream>, Status> {
        let CancelTasksRequest { filter, reason } = request.into_inner();
        let sweep = convert::filter(filter).and_then(|filter| Sweep::cancel(filter, &reason)).map_err(to_status)?;
        Ok(self.sweep(sweep, |canceled, done| CancelTasksResponse { canceled, done }))
    }

    async fn complete_tasks(
        &self,
        request: Request<CompleteTasksRequest>,
    ) -> Result<Response<Self::CompleteTasksStream>, Status> {
        let CompleteTasksRequest { filter, result } = request.into_inner();
        let sweep = convert::filter(filter).and_then(|filter| Sweep::complete(filter, &result)).map_err(to_status)?;
        Ok(self.sweep(sweep, |completed, done| CompleteTasksResponse { completed, done }))
    }

    async fn watch_tasks(
        &self,
        request: Request<WatchTasksRequest>,
    ) -> Result<Response<Self::WatchTasksStream>, Status> {
        let request = request.into_inner();
        let opened = async {
            let task = if request.task_id.is_empty() { None } else { Some(read_task_id("task_id", &request.task_id)?) };
            let queue = if request.queue.is_empty() {
                None
            } else {
                limits::check_name("queue", &request.queue)?;
                Some(request.queue)
            };
            let wanted = Wanted {
                namespace: self.namespace(),
                after: read_position("position", &request.position)?,
                task,
                queue,
                progress: request.progress,
            };
            watch::open(self.app.clone(), wanted, self.stop.clone()).await
        };
        let receiver = opened.await.map_err(to_status)?;
        let messages = ReceiverStream::new(receiver).map(|message| message.map_err(to_status));
        Ok(Response::new(Box::pin(messages)))
    }

    async fn list_events(&self, request: Request<ListEventsRequest>) -> Result<Response<ListEventsResponse>, Status> {
        self.events(request.into_inner()).await.map(Response::new).map_err(to_status)
    }
}

impl Api {
    fn show(&self, task: Task) -> v1::Task {
        let progress =
            self.app.progress.of(task.id, task.run).filter(|_| task.state == taskyard_core::TaskState::Running);
        let namespace = self.app.namespace_name(task.namespace);
        v1::Task { progress, ..task_to_proto(task, &namespace) }
    }

    async fn create_one(&self, request: CreateTaskRequest) -> Result<CreateTaskResponse> {
        let task = request.task.ok_or_else(|| Error::invalid("task", "is missing"))?;
        let task = convert::new_task(task, Utc::now()).map_err(|error| error.within("task"))?;
        // Payload and result are shown by GetTask alone, so the answer to a new task needs no further reading.
        let shown = NewTask { payload: Vec::new(), ..task.clone() };
        let created = self.app.create(self.namespace(), vec![task]).await?.pop();
        let created = created.unwrap_or_else(|| Err(Error::internal("a create gave no answer")))?;
        let task = match created.new {
            Some(new) => new_task(self.namespace(), shown, new),
            None => {
                Task { payload: Vec::new(), result: Vec::new(), ..self.app.get(self.namespace(), created.id).await? }
            }
        };
        Ok(CreateTaskResponse { task: Some(self.show(task)), created: created.new.is_some() })
    }

    async fn create_batch(&self, request: CreateTasksRequest) -> Result<CreateTasksResponse> {
        if request.tasks.len() > limits::BATCH_TASKS_MAX {
            let message = format!("are {}; at most {} are allowed", request.tasks.len(), limits::BATCH_TASKS_MAX);
            return Err(Error::invalid("tasks", message));
        }
        let now = Utc::now();
        let checked: Vec<Result<_>> = request.tasks.into_iter().map(|task| convert::new_task(task, now)).collect();
        let mut errors = Vec::with_capacity(checked.len());
        let mut tasks = Vec::with_capacity(checked.len());
        for task in checked {
            match task {
                Ok(task) => {
                    tasks.push(task);
                    errors.push(None);
                }
                Err(error) => errors.push(Some(error)),
            }
        }
        let mut created = self.app.create(self.namespace(), tasks).await?.into_iter();
        let results = errors.into_iter().map(|error| {
            let answer = error.map_or_else(|| created.next().unwrap_or_else(|| Err(Error::internal("no answer"))), Err);
            let result = match answer {
                Ok(created) => create_tasks_result::Result::Created(CreatedTask {
                    id: created.id.to_string(),
                    created: created.new.is_some(),
                }),
                Err(error) => create_tasks_result::Result::Error(convert::item_error(&error)),
            };
            CreateTasksResult { result: Some(result) }
        });
        Ok(CreateTasksResponse { results: results.collect() })
    }

    async fn events(&self, request: ListEventsRequest) -> Result<ListEventsResponse> {
        let size =
            limits::check_page_size(request.page_size, limits::EVENTS_PAGE_SIZE_DEFAULT, limits::EVENTS_PAGE_SIZE_MAX)?;
        let after = read_position("position", &request.position)?.unwrap_or_default();
        if !request.position.is_empty()
            && !epoch::epoch_has_position(&self.app.pool, after).await.map_err(failure::to_error)?
        {
            let message = "is of a database that has been restored since; read the tasks anew, and watch from there";
            return Err(Error::invalid("position", message));
        }
        let namespace = self.namespace();
        let found = if request.task_id.is_empty() {
            events::event_list(&self.app.pool, after, Some(namespace), i64::from(size) + 1).await
        } else {
            let id = read_task_id("task_id", &request.task_id)?;
            events::event_list_of_task(&self.app.pool, after, namespace, id, i64::from(size) + 1).await
        };
        let mut found = found.map_err(failure::to_error)?;
        let more = found.len() > size as usize;
        found.truncate(size as usize);
        let position = found.last().map_or(after, |event| event.position).to_string();
        let name = self.app.namespace_name(namespace);
        let events = found.into_iter().map(|event| watch::to_proto(event, &name)).collect();
        Ok(ListEventsResponse { events, position, more })
    }
}

/// A version that a caller names; 0 is none.
fn given(version: u32) -> Option<u32> {
    Some(version).filter(|version| *version != 0)
}

/// A task as it stands right after its create.
fn new_task(namespace: Namespace, task: NewTask, new: NewState) -> Task {
    Task {
        id: task.id,
        namespace,
        queue: task.queue,
        kind: task.kind,
        state: new.state,
        title: task.title,
        description: task.description,
        labels: task.labels,
        priority: task.priority,
        creator: String::new(),
        created_at: new.created_at,
        due_at: Some(new.due_at),
        started_at: None,
        finished_at: None,
        timeout: task.timeout,
        retry: task.retry,
        version: 1,
        run: 0,
        attempt: 0,
        error: None,
        payload: Vec::new(),
        result: Vec::new(),
    }
}
