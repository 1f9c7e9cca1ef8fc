//! A tasks service that remembers what it was asked and answers by rote.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::Utc;
use futures::{Stream, StreamExt, future::BoxFuture, stream};
use prost_types::Timestamp;
use taskyard_core::{
    Error, ErrorCode, Identity,
    identity::{Caller, Role, Scope},
    limits,
};
use taskyard_proto::{
    convert,
    status::to_status,
    v1::{
        self, queue_service_server::QueueService, task_service_server::TaskService, user_service_server::UserService,
        who_am_i_response, work_request, work_response, work_service_server::WorkService,
    },
};
use taskyard_runtime::identity::{Ask, caller};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::harness::TOKEN;

/// Known to nobody.
pub const MISSING: &str = "01900000-0000-7000-8000-000000000404";
/// Its reader waits for ever.
pub const SLOW: &str = "01900000-0000-7000-8000-000000000504";
/// It runs, and has told how far it is.
pub const MOVING: &str = "01900000-0000-7000-8000-000000000040";
/// Its reader panics.
pub const BOMB: &str = "01900000-0000-7000-8000-000000000500";
/// Somebody else always changes it first.
pub const CONTESTED: &str = "01900000-0000-7000-8000-000000000412";

type Answer<T> = Result<Response<T>, Status>;

/// The fake. Clones share what was seen.
#[derive(Clone, Default)]
pub struct Fake {
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A call that came in.
#[derive(Clone, Debug)]
pub struct Seen {
    pub message: String,
    pub authorization: Option<String>,
    pub request_id: Option<String>,
    pub timeout: Option<String>,
}

impl Fake {
    pub fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().expect("a call came")
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn note<T: std::fmt::Debug>(&self, request: Request<T>) -> T {
        let text = |name: &str| request.metadata().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (authorization, request_id, timeout) = (text("authorization"), text("x-request-id"), text("grpc-timeout"));
        let message = format!("{:?}", request.get_ref());
        self.seen.lock().unwrap().push(Seen { message, authorization, request_id, timeout });
        request.into_inner()
    }
}

pub fn task(id: &str) -> v1::Task {
    v1::Task {
        id: id.to_owned(),
        namespace: "default".into(),
        queue: "default".into(),
        kind: "echo".into(),
        state: v1::TaskState::Ready.into(),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        priority: 5,
        create_time: Some(Timestamp { seconds: 1_767_315_845, nanos: 0 }),
        version: 3,
        ..Default::default()
    }
}

fn created(given: v1::NewTask) -> Result<(v1::Task, bool), Error> {
    let key = given.idempotency_key.clone();
    let new = convert::new_task(given, Utc::now())?;
    let mut shown = task(&new.id.to_string());
    shown.queue = new.queue;
    shown.kind = new.kind;
    shown.title = new.title;
    shown.version = 1;
    if key == "known" {
        shown.id = "01900000-0000-7000-8000-000000000001".into();
    }
    Ok((shown, key != "known"))
}

#[tonic::async_trait]
impl TaskService for Fake {
    type WatchTasksStream = Pin<Box<dyn Stream<Item = Result<v1::WatchTasksResponse, Status>> + Send>>;
    type RetryTasksStream = Pin<Box<dyn Stream<Item = Result<v1::RetryTasksResponse, Status>> + Send>>;
    type CancelTasksStream = Pin<Box<dyn Stream<Item = Result<v1::CancelTasksResponse, Status>> + Send>>;
    type CompleteTasksStream = Pin<Box<dyn Stream<Item = Result<v1::CompleteTasksResponse, Status>> + Send>>;

    async fn create_task(&self, request: Request<v1::CreateTaskRequest>) -> Answer<v1::CreateTaskResponse> {
        let (task, created) = created(self.note(request).task.unwrap()).map_err(to_status)?;
        Ok(Response::new(v1::CreateTaskResponse { task: Some(task), created }))
    }

    async fn create_tasks(&self, request: Request<v1::CreateTasksRequest>) -> Answer<v1::CreateTasksResponse> {
        use v1::create_tasks_result::Result as Item;
        let results = self.note(request).tasks.into_iter().map(|given| {
            let result = match created(given) {
                Ok((task, created)) => Item::Created(v1::CreatedTask { id: task.id, created }),
                Err(error) => Item::Error(convert::item_error(&error)),
            };
            v1::CreateTasksResult { result: Some(result) }
        });
        Ok(Response::new(v1::CreateTasksResponse { results: results.collect() }))
    }

    async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Answer<v1::GetTaskResponse> {
        let id = self.note(request).id;
        match id.as_str() {
            MISSING => return Err(to_status(Error::task_not_found(id))),
            SLOW => tokio::time::sleep(Duration::from_secs(60)).await,
            BOMB => panic!("as it was asked to"),
            _ => {}
        }
        let progress = (id == MOVING).then(|| v1::Progress { percent: 40, message: String::new() });
        let task = v1::Task { payload: r#"{"a": 1.00}"#.into(), progress, ..task(&id) };
        Ok(Response::new(v1::GetTaskResponse { task: Some(task) }))
    }

    async fn list_tasks(&self, request: Request<v1::ListTasksRequest>) -> Answer<v1::ListTasksResponse> {
        let request = self.note(request);
        convert::filter(request.filter).map_err(to_status)?;
        let next_page_token = if request.page_token.is_empty() { "next".into() } else { String::new() };
        Ok(Response::new(v1::ListTasksResponse { tasks: vec![task("one")], next_page_token }))
    }

    async fn search_tasks(&self, request: Request<v1::SearchTasksRequest>) -> Answer<v1::SearchTasksResponse> {
        let request = self.note(request);
        convert::filter(request.filter).map_err(to_status)?;
        limits::check_query("query", &request.query).map_err(to_status)?;
        let part = |text: &str, matched| v1::SnippetPart { text: text.into(), matched };
        let hit = v1::SearchHit {
            task: Some(task("one")),
            title: vec![part("<Deploy> ", false), part("servers", true)],
            description: vec![],
        };
        let corrected_query = if request.query == "servrs" { "servers".into() } else { String::new() };
        let next_page_token = if request.page_token.is_empty() { "next".into() } else { String::new() };
        Ok(Response::new(v1::SearchTasksResponse { hits: vec![hit], next_page_token, corrected_query }))
    }

    async fn update_task(&self, request: Request<v1::UpdateTaskRequest>) -> Answer<v1::UpdateTaskResponse> {
        let request = self.note(request);
        let id = request.id.clone();
        let update = convert::update(request, Utc::now()).map_err(to_status)?;
        if id == CONTESTED || update.version.is_some_and(|version| version != 3) {
            return Err(to_status(Error::new(ErrorCode::VersionMismatch, "the task has version 3")));
        }
        let mut task = task(&id);
        task.title = update.title.unwrap_or_default();
        task.labels = update.labels.unwrap_or(task.labels);
        task.version = 4;
        Ok(Response::new(v1::UpdateTaskResponse { task: Some(task) }))
    }

    async fn delete_task(&self, request: Request<v1::DeleteTaskRequest>) -> Answer<v1::DeleteTaskResponse> {
        self.note(request);
        Ok(Response::new(v1::DeleteTaskResponse {}))
    }

    async fn complete_task(&self, request: Request<v1::CompleteTaskRequest>) -> Answer<v1::CompleteTaskResponse> {
        let request = self.note(request);
        if request.result.is_empty() {
            return Err(to_status(Error::new(ErrorCode::WrongState, "the task is ready, not open")));
        }
        Ok(Response::new(v1::CompleteTaskResponse { task: Some(task(&request.id)) }))
    }

    async fn cancel_task(&self, request: Request<v1::CancelTaskRequest>) -> Answer<v1::CancelTaskResponse> {
        let v1::CancelTaskRequest { id, reason, version: _ } = self.note(request);
        let task = v1::Task { error: reason, ..task(&id) };
        Ok(Response::new(v1::CancelTaskResponse { task: Some(task) }))
    }

    async fn retry_task(&self, request: Request<v1::RetryTaskRequest>) -> Answer<v1::RetryTaskResponse> {
        let id = self.note(request).id;
        Ok(Response::new(v1::RetryTaskResponse { task: Some(task(&id)) }))
    }

    async fn retry_tasks(&self, request: Request<v1::RetryTasksRequest>) -> Answer<Self::RetryTasksStream> {
        let filter = self.note(request).filter.unwrap_or_default();
        let report = |retried, done| Ok(v1::RetryTasksResponse { retried, done });
        if filter.queue == "endless" {
            let ticks = stream::iter([report(7, false)]).chain(stream::pending());
            return Ok(Response::new(Box::pin(ticks)));
        }
        Ok(Response::new(Box::pin(stream::iter([report(500, false), report(700, true)]))))
    }

    async fn cancel_tasks(&self, request: Request<v1::CancelTasksRequest>) -> Answer<Self::CancelTasksStream> {
        self.note(request);
        let report = |canceled, done| Ok(v1::CancelTasksResponse { canceled, done });
        Ok(Response::new(Box::pin(stream::iter([report(200, false), report(300, true)]))))
    }

    async fn complete_tasks(&self, request: Request<v1::CompleteTasksRequest>) -> Answer<Self::CompleteTasksStream> {
        self.note(request);
        Ok(Response::new(Box::pin(stream::iter([Ok(v1::CompleteTasksResponse { completed: 2, done: true })]))))
    }

    async fn watch_tasks(&self, request: Request<v1::WatchTasksRequest>) -> Answer<Self::WatchTasksStream> {
        use v1::watch_tasks_response::Message;
        self.note(request);
        let message = |message| Ok(v1::WatchTasksResponse { message: Some(message) });
        let opened = message(Message::Opened(v1::WatchOpened { position: "1.1.1".into() }));
        let event = message(Message::Event(v1::Event { position: "1.2.1".into(), ..Default::default() }));
        let end = Err(to_status(Error::unavailable("this pod stops")));
        Ok(Response::new(Box::pin(stream::iter([opened, event, end]))))
    }

    async fn list_events(&self, request: Request<v1::ListEventsRequest>) -> Answer<v1::ListEventsResponse> {
        let request = self.note(request);
        convert::read_position("position", &request.position).map_err(to_status)?;
        let event = v1::Event { position: "1.2.1".into(), r#type: 1, task_id: request.task_id, ..Default::default() };
        Ok(Response::new(v1::ListEventsResponse { events: vec![event], position: "1.2.1".into(), more: false }))
    }
}

fn queue(name: &str) -> v1::Queue {
    v1::Queue { name: name.to_owned(), ready: 4, ..Default::default() }
}

#[tonic::async_trait]
impl QueueService for Fake {
    async fn list_queues(&self, request: Request<v1::ListQueuesRequest>) -> Answer<v1::ListQueuesResponse> {
        // Two pages.
        let (name, next) = if self.note(request).page_token.is_empty() { ("default", "mail") } else { ("mail", "") };
        Ok(Response::new(v1::ListQueuesResponse { queues: vec![queue(name)], next_page_token: next.into() }))
    }

    async fn pause_queue(&self, request: Request<v1::PauseQueueRequest>) -> Answer<v1::PauseQueueResponse> {
        let queue = v1::Queue { paused: true, ..queue(&self.note(request).name) };
        Ok(Response::new(v1::PauseQueueResponse { queue: Some(queue) }))
    }

    async fn resume_queue(&self, request: Request<v1::ResumeQueueRequest>) -> Answer<v1::ResumeQueueResponse> {
        Ok(Response::new(v1::ResumeQueueResponse { queue: Some(queue(&self.note(request).name)) }))
    }

    async fn set_queue_limits(
        &self,
        request: Request<v1::SetQueueLimitsRequest>,
    ) -> Answer<v1::SetQueueLimitsResponse> {
        let v1::SetQueueLimitsRequest { name, concurrency_max } = self.note(request);
        let queue = v1::Queue { concurrency_max, ..queue(&name) };
        Ok(Response::new(v1::SetQueueLimitsResponse { queue: Some(queue) }))
    }

    async fn get_backlog(&self, request: Request<v1::GetBacklogRequest>) -> Answer<v1::GetBacklogResponse> {
        self.note(request);
        Ok(Response::new(v1::GetBacklogResponse::default()))
    }
}

#[tonic::async_trait]
impl WorkService for Fake {
    type WorkStream = Pin<Box<dyn Stream<Item = Result<v1::WorkResponse, Status>> + Send>>;

    /// Answers each message when it comes, so that a proxy that waits for the whole body is found out.
    async fn work(&self, request: Request<Streaming<v1::WorkRequest>>) -> Answer<Self::WorkStream> {
        let answers = request.into_inner().map(|message| {
            use work_response::Message;
            let answer = match message?.message {
                Some(work_request::Message::Hello(_)) => Message::Welcome(v1::Welcome::default()),
                Some(work_request::Message::Goodbye(_)) => Message::Farewell(v1::Farewell {}),
                _ => Message::Ping(v1::Ping {}),
            };
            Ok(v1::WorkResponse { message: Some(answer) })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

impl Ask for Fake {
    fn identify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, taskyard_core::Result<Identity>> {
        Box::pin(async move {
            if token != TOKEN {
                return Err(Error::new(ErrorCode::Unauthenticated, "there is no such key"));
            }
            Ok(Identity {
                caller: Caller::Key { id: Uuid::from_u128(7) },
                name: "tests".into(),
                namespace: 1,
                namespace_name: "default".into(),
                scopes: Role::Admin.scopes(),
                queues: Vec::new(),
                expires_at: None,
            })
        })
    }

    fn revision(&self) -> BoxFuture<'_, taskyard_core::Result<i64>> {
        Box::pin(async { Ok(0) })
    }
}

fn not_here<T>() -> Answer<T> {
    Err(Status::unimplemented("the fake has no users"))
}

#[tonic::async_trait]
impl UserService for Fake {
    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Answer<v1::WhoAmIResponse> {
        let identity = caller(&request).map_err(to_status)?;
        Ok(Response::new(v1::WhoAmIResponse {
            caller: Some(who_am_i_response::Caller::KeyId(Uuid::from_u128(7).to_string())),
            name: identity.name.clone(),
            namespace: identity.namespace_name.clone(),
            namespace_number: identity.namespace,
            scopes: Scope::ALL.map(|scope| scope.as_str().to_owned()).to_vec(),
            ..Default::default()
        }))
    }

    async fn get_revision(&self, _: Request<v1::GetRevisionRequest>) -> Answer<v1::GetRevisionResponse> {
        Ok(Response::new(v1::GetRevisionResponse { revision: 0 }))
    }

    async fn register(&self, _: Request<v1::RegisterRequest>) -> Answer<v1::RegisterResponse> {
        not_here()
    }

    async fn sign_in(&self, _: Request<v1::SignInRequest>) -> Answer<v1::SignInResponse> {
        not_here()
    }

    async fn refresh_tokens(&self, _: Request<v1::RefreshTokensRequest>) -> Answer<v1::RefreshTokensResponse> {
        not_here()
    }

    async fn sign_out(&self, _: Request<v1::SignOutRequest>) -> Answer<v1::SignOutResponse> {
        not_here()
    }

    async fn sign_out_everywhere(
        &self,
        _: Request<v1::SignOutEverywhereRequest>,
    ) -> Answer<v1::SignOutEverywhereResponse> {
        not_here()
    }

    async fn list_sign_ins(&self, _: Request<v1::ListSignInsRequest>) -> Answer<v1::ListSignInsResponse> {
        not_here()
    }

    async fn change_password(&self, _: Request<v1::ChangePasswordRequest>) -> Answer<v1::ChangePasswordResponse> {
        not_here()
    }

    async fn update_user(&self, _: Request<v1::UpdateUserRequest>) -> Answer<v1::UpdateUserResponse> {
        not_here()
    }

    async fn get_key_set(&self, _: Request<v1::GetKeySetRequest>) -> Answer<v1::GetKeySetResponse> {
        not_here()
    }
}
