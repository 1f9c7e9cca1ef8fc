//! TaskService.

use chrono::Utc;
use taskyard_core::{
    Error, ErrorCode, Identity, Result, limits,
    task::{Filter, NewTask, Task},
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
        RetryTaskRequest, RetryTaskResponse, RetryTasksRequest, RetryTasksResponse, SearchHit, SearchTasksRequest,
        SearchTasksResponse, SnippetPart, UpdateTaskRequest, UpdateTaskResponse, WatchTasksRequest, WatchTasksResponse,
        create_tasks_result,
    },
};
use taskyard_runtime::identity::caller;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Api;
use crate::{
    app::{
        commands::creator,
        creates::NewState,
        search::{Piece, Search},
        sweeps::Sweep,
    },
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
        let created = async { self.create_one(&*caller(&request)?, request.into_inner()).await };
        created.await.map(Response::new).map_err(to_status)
    }

    async fn create_tasks(
        &self,
        request: Request<CreateTasksRequest>,
    ) -> Result<Response<CreateTasksResponse>, Status> {
        let created = async { self.create_batch(&*caller(&request)?, request.into_inner()).await };
        created.await.map(Response::new).map_err(to_status)
    }

    async fn get_task(&self, request: Request<GetTaskRequest>) -> Result<Response<GetTaskResponse>, Status> {
        let task = async {
            let caller = caller(&request)?;
            let task = self.own(&caller, read_task_id("id", &request.get_ref().id)?).await?;
            Ok(self.show(&caller, task))
        };
        Ok(Response::new(GetTaskResponse { task: Some(task.await.map_err(to_status)?) }))
    }

    async fn list_tasks(&self, request: Request<ListTasksRequest>) -> Result<Response<ListTasksResponse>, Status> {
        let page = async {
            let caller = caller(&request)?;
            let request = request.into_inner();
            let filter = within(&caller, convert::filter(request.filter)?)?;
            let order = convert::order(request.order)?;
            let (tasks, next_page_token) =
                self.app.list(caller.namespace, &filter, order, request.page_size, &request.page_token).await?;
            let tasks = tasks.into_iter().map(|task| self.show(&caller, task)).collect();
            Ok(ListTasksResponse { tasks, next_page_token })
        };
        page.await.map(Response::new).map_err(to_status)
    }

    async fn search_tasks(
        &self,
        request: Request<SearchTasksRequest>,
    ) -> Result<Response<SearchTasksResponse>, Status> {
        let caller = caller(&request).map_err(to_status)?;
        let SearchTasksRequest { query, filter, page_size, page_token } = request.into_inner();
        let found = async {
            let filter = within(&caller, convert::filter(filter)?)?;
            self.app.search(caller.namespace, &Search { query, filter, page_size, page_token }).await
        };
        let found = found.await.map_err(to_status)?;
        let hits = found.hits.into_iter().map(|hit| SearchHit {
            task: Some(self.show(&caller, hit.task)),
            title: hit.title.into_iter().map(snippet_part).collect(),
            description: hit.description.into_iter().map(snippet_part).collect(),
        });
        Ok(Response::new(SearchTasksResponse {
            hits: hits.collect(),
            next_page_token: found.next_page_token,
            corrected_query: found.corrected.unwrap_or_default(),
        }))
    }

    async fn update_task(&self, request: Request<UpdateTaskRequest>) -> Result<Response<UpdateTaskResponse>, Status> {
        let task = async {
            let caller = caller(&request)?;
            let update = convert::update(request.into_inner(), Utc::now())?;
            self.check(&caller, update.id).await?;
            Ok(self.show(&caller, self.app.update(caller.namespace, update).await?))
        };
        Ok(Response::new(UpdateTaskResponse { task: Some(task.await.map_err(to_status)?) }))
    }

    async fn delete_task(&self, request: Request<DeleteTaskRequest>) -> Result<Response<DeleteTaskResponse>, Status> {
        let deleted = async {
            let caller = caller(&request)?;
            let DeleteTaskRequest { id, version } = request.into_inner();
            let id = read_task_id("id", &id)?;
            self.check(&caller, id).await?;
            self.app.delete(caller.namespace, id, given(version)).await
        };
        deleted.await.map_err(to_status)?;
        Ok(Response::new(DeleteTaskResponse {}))
    }

    async fn complete_task(
        &self,
        request: Request<CompleteTaskRequest>,
    ) -> Result<Response<CompleteTaskResponse>, Status> {
        let task = async {
            let caller = caller(&request)?;
            let CompleteTaskRequest { id, result, version } = request.into_inner();
            let id = read_task_id("id", &id)?;
            self.check(&caller, id).await?;
            Ok(self.show(&caller, self.app.complete(caller.namespace, id, given(version), &result).await?))
        };
        Ok(Response::new(CompleteTaskResponse { task: Some(task.await.map_err(to_status)?) }))
    }

    async fn cancel_task(&self, request: Request<CancelTaskRequest>) -> Result<Response<CancelTaskResponse>, Status> {
        let task = async {
            let caller = caller(&request)?;
            let CancelTaskRequest { id, reason, version } = request.into_inner();
            let id = read_task_id("id", &id)?;
            self.check(&caller, id).await?;
            Ok(self.show(&caller, self.app.cancel(caller.namespace, id, given(version), &reason).await?))
        };
        Ok(Response::new(CancelTaskResponse { task: Some(task.await.map_err(to_status)?) }))
    }

    async fn retry_task(&self, request: Request<RetryTaskRequest>) -> Result<Response<RetryTaskResponse>, Status> {
        let task = async {
            let caller = caller(&request)?;
            let RetryTaskRequest { id, version } = request.into_inner();
            let id = read_task_id("id", &id)?;
            self.check(&caller, id).await?;
            Ok(self.show(&caller, self.app.retry(caller.namespace, id, given(version)).await?))
        };
        Ok(Response::new(RetryTaskResponse { task: Some(task.await.map_err(to_status)?) }))
    }

    async fn retry_tasks(
        &self,
        request: Request<RetryTasksRequest>,
    ) -> Result<Response<Self::RetryTasksStream>, Status> {
        let caller = caller(&request).map_err(to_status)?;
        let filter = convert::filter(request.into_inner().filter).and_then(|filter| within(&caller, filter));
        let sweep = filter.and_then(Sweep::retry).map_err(to_status)?;
        Ok(self.sweep(caller.namespace, sweep, |retried, done| RetryTasksResponse { retried, done }))
    }

    async fn cancel_tasks(
        &self,
        request: Request<CancelTasksRequest>,
    ) -> Result<Response<Self::CancelTasksStream>, Status> {
        let caller = caller(&request).map_err(to_status)?;
        let CancelTasksRequest { filter, reason } = request.into_inner();
        let filter = convert::filter(filter).and_then(|filter| within(&caller, filter));
        let sweep = filter.and_then(|filter| Sweep::cancel(filter, &reason)).map_err(to_status)?;
        Ok(self.sweep(caller.namespace, sweep, |canceled, done| CancelTasksResponse { canceled, done }))
    }

    async fn complete_tasks(
        &self,
        request: Request<CompleteTasksRequest>,
    ) -> Result<Response<Self::CompleteTasksStream>, Status> {
        let caller = caller(&request).map_err(to_status)?;
        let CompleteTasksRequest { filter, result } = request.into_inner();
        let filter = convert::filter(filter).and_then(|filter| within(&caller, filter));
        let sweep = filter.and_then(|filter| Sweep::complete(filter, &result)).map_err(to_status)?;
        Ok(self.sweep(caller.namespace, sweep, |completed, done| CompleteTasksResponse { completed, done }))
    }

    async fn watch_tasks(
        &self,
        request: Request<WatchTasksRequest>,
    ) -> Result<Response<Self::WatchTasksStream>, Status> {
        let opened = async {
            let caller = caller(&request)?;
            let request = request.into_inner();
            let task = if request.task_id.is_empty() { None } else { Some(read_task_id("task_id", &request.task_id)?) };
            let queue = if request.queue.is_empty() {
                None
            } else {
                limits::check_name("queue", &request.queue)?;
                Some(request.queue)
            };
            let Filter { queue, .. } = within(&caller, Filter { queue, ..Filter::default() })?;
            let wanted = Wanted {
                namespace: caller.namespace,
                namespace_name: caller.namespace_name.clone(),
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
        let events = async { self.events(&*caller(&request)?, request.into_inner()).await };
        events.await.map(Response::new).map_err(to_status)
    }
}

impl Api {
    fn show(&self, caller: &Identity, task: Task) -> v1::Task {
        let progress = self.app.progress.of(task.namespace, task.id, task.run);
        let progress = progress.filter(|_| task.state == taskyard_core::TaskState::Running);
        v1::Task { progress, ..task_to_proto(task, &caller.namespace_name) }
    }

    /// A task that the caller may see.
    async fn own(&self, caller: &Identity, id: Uuid) -> Result<Task> {
        let task = self.app.get(caller.namespace, id).await?;
        if caller.may_touch(&task.queue) { Ok(task) } else { Err(Error::task_not_found(id)) }
    }

    /// Refuses a task that the caller may not see. A task never changes its queue.
    async fn check(&self, caller: &Identity, id: Uuid) -> Result<()> {
        if caller.queues.is_empty() { Ok(()) } else { self.own(caller, id).await.map(drop) }
    }

    async fn create_one(&self, caller: &Identity, request: CreateTaskRequest) -> Result<CreateTaskResponse> {
        let task = request.task.ok_or_else(|| Error::invalid("task", "is missing"))?;
        let task = convert::new_task(task, Utc::now()).map_err(|error| error.within("task"))?;
        // Payload and result are shown by GetTask alone, so the answer to a new task needs no further reading.
        let shown = NewTask { payload: Vec::new(), ..task.clone() };
        let created = self.app.create(caller, vec![task]).await?.pop();
        let created = created.unwrap_or_else(|| Err(Error::internal("a create gave no answer")))?;
        let task = match created.new {
            Some(new) => new_task(caller, shown, new),
            None => {
                Task { payload: Vec::new(), result: Vec::new(), ..self.app.get(caller.namespace, created.id).await? }
            }
        };
        Ok(CreateTaskResponse { task: Some(self.show(caller, task)), created: created.new.is_some() })
    }

    async fn create_batch(&self, caller: &Identity, request: CreateTasksRequest) -> Result<CreateTasksResponse> {
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
        let mut created = self.app.create(caller, tasks).await?.into_iter();
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

    async fn events(&self, caller: &Identity, request: ListEventsRequest) -> Result<ListEventsResponse> {
        let size =
            limits::check_page_size(request.page_size, limits::EVENTS_PAGE_SIZE_DEFAULT, limits::EVENTS_PAGE_SIZE_MAX)?;
        let after = read_position("position", &request.position)?.unwrap_or_default();
        if !request.position.is_empty()
            && !epoch::epoch_has_position(&self.app.pool, after).await.map_err(failure::to_error)?
        {
            let message = "is of a database that has been restored since; read the tasks anew, and watch from there";
            return Err(Error::invalid("position", message));
        }
        let namespace = caller.namespace;
        let found = if request.task_id.is_empty() {
            if !caller.queues.is_empty() {
                let message = "this key is not for every queue; name a task, or watch a queue";
                return Err(Error::new(ErrorCode::Forbidden, message));
            }
            events::event_list(&self.app.pool, after, Some(namespace), i64::from(size) + 1).await
        } else {
            let id = read_task_id("task_id", &request.task_id)?;
            self.check(caller, id).await?;
            events::event_list_of_task(&self.app.pool, after, namespace, id, i64::from(size) + 1).await
        };
        let mut found = found.map_err(failure::to_error)?;
        let more = found.len() > size as usize;
        found.truncate(size as usize);
        let position = found.last().map_or(after, |event| event.position).to_string();
        let name = &caller.namespace_name;
        let events = found.into_iter().map(|event| watch::to_proto(event, name)).collect();
        Ok(ListEventsResponse { events, position, more })
    }
}

/// What a caller may see of a list.
fn within(caller: &Identity, mut filter: Filter) -> Result<Filter> {
    match (&filter.queue, caller.queues.as_slice()) {
        (_, []) => {}
        (Some(queue), _) => caller.check_queue(queue)?,
        (None, [queue]) => filter.queue = Some(queue.clone()),
        (None, queues) => {
            let message = format!("this key is for the queues {} only; name one of them", queues.join(", "));
            return Err(Error::new(ErrorCode::Forbidden, message));
        }
    }
    Ok(filter)
}

fn snippet_part(piece: Piece) -> SnippetPart {
    SnippetPart { text: piece.text, matched: piece.is_match }
}

/// A version that a caller names; 0 is none.
fn given(version: u32) -> Option<u32> {
    Some(version).filter(|version| *version != 0)
}

/// A task as it stands right after its create.
fn new_task(caller: &Identity, task: NewTask, new: NewState) -> Task {
    Task {
        id: task.id,
        namespace: caller.namespace,
        queue: task.queue,
        kind: task.kind,
        state: new.state,
        title: task.title,
        description: task.description,
        labels: task.labels,
        priority: task.priority,
        creator: creator(caller),
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
