//! A pod with a task service that answers as a test says.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::AtomicUsize},
    time::Duration,
};

use taskyard_client::v1::{
    self,
    task_service_server::{TaskService, TaskServiceServer},
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, metadata::MetadataMap, transport::Server};

/// What a pod does with a call.
#[derive(Clone, Debug)]
pub enum Behavior {
    /// Answers.
    Answer,
    /// Answers after a while.
    Slow(Duration),
    /// Fails.
    Fail(Status),
}

/// One opened watch or retry, in the hands of the test.
pub struct Opened<T, R> {
    pub request: R,
    pub responses: mpsc::Sender<Result<T, Status>>,
}

type Streams<T, R> = (mpsc::Sender<Opened<T, R>>, mpsc::Receiver<Opened<T, R>>);

/// What a test sees and steers.
pub struct Shared {
    pub behavior: Mutex<Behavior>,
    pub calls: AtomicUsize,
    pub metadata: Mutex<Vec<MetadataMap>>,
    pub created: Mutex<Vec<v1::NewTask>>,
}

#[derive(Clone)]
struct Service {
    shared: Arc<Shared>,
    watches: mpsc::Sender<Opened<v1::WatchTasksResponse, v1::WatchTasksRequest>>,
    retries: mpsc::Sender<Opened<v1::RetryTasksResponse, v1::RetryTasksRequest>>,
}

/// A pod. Its server runs in a runtime of its own, so that it can vanish at once.
pub struct FakePod {
    pub address: SocketAddr,
    pub shared: Arc<Shared>,
    pub watches: mpsc::Receiver<Opened<v1::WatchTasksResponse, v1::WatchTasksRequest>>,
    pub retries: mpsc::Receiver<Opened<v1::RetryTasksResponse, v1::RetryTasksRequest>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl FakePod {
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    pub fn start_at(address: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = loop {
            // The one before it closes its listener in the background.
            match std::net::TcpListener::bind(address) {
                Ok(listener) => break listener,
                Err(_) => std::thread::yield_now(),
            }
        };
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            behavior: Mutex::new(Behavior::Answer),
            calls: AtomicUsize::new(0),
            metadata: Mutex::default(),
            created: Mutex::default(),
        });
        let (watch_sender, watches): Streams<_, _> = mpsc::channel(10);
        let (retry_sender, retries): Streams<_, _> = mpsc::channel(10);
        let service = Service { shared: Arc::clone(&shared), watches: watch_sender, retries: retry_sender };
        runtime.spawn(async move {
            let listener = TcpListenerStream::new(TcpListener::from_std(listener).unwrap());
            let service = TaskServiceServer::new(service).max_decoding_message_size(16 << 20);
            Server::builder().add_service(service).serve_with_incoming(listener).await.unwrap();
        });
        Self { address, shared, watches, retries, runtime: Some(runtime) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn behave(&self, behavior: Behavior) {
        *self.shared.behavior.lock().unwrap() = behavior;
    }

    pub fn calls(&self) -> usize {
        self.shared.calls.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The process dies: every connection breaks.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for FakePod {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Service {
    async fn behave<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.shared.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.shared.metadata.lock().unwrap().push(request.metadata().clone());
        let behavior = self.shared.behavior.lock().unwrap().clone();
        match behavior {
            Behavior::Answer => Ok(()),
            Behavior::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Behavior::Fail(status) => Err(status),
        }
    }
}

#[tonic::async_trait]
impl TaskService for Service {
    type RetryTasksStream = ReceiverStream<Result<v1::RetryTasksResponse, Status>>;
    type CancelTasksStream = ReceiverStream<Result<v1::CancelTasksResponse, Status>>;
    type CompleteTasksStream = ReceiverStream<Result<v1::CompleteTasksResponse, Status>>;
    type WatchTasksStream = ReceiverStream<Result<v1::WatchTasksResponse, Status>>;

    async fn create_task(
        &self,
        request: Request<v1::CreateTaskRequest>,
    ) -> Result<Response<v1::CreateTaskResponse>, Status> {
        let task = request.get_ref().task.clone().unwrap();
        self.shared.created.lock().unwrap().push(task.clone());
        self.behave(&request).await?;
        let task = v1::Task { id: task.id, ..v1::Task::default() };
        Ok(Response::new(v1::CreateTaskResponse { task: Some(task), created: true }))
    }

    async fn create_tasks(
        &self,
        request: Request<v1::CreateTasksRequest>,
    ) -> Result<Response<v1::CreateTasksResponse>, Status> {
        self.behave(&request).await?;
        let tasks = request.into_inner().tasks;
        let created = tasks.into_iter().map(|task| v1::CreateTasksResult {
            result: Some(v1::create_tasks_result::Result::Created(v1::CreatedTask { id: task.id, created: true })),
        });
        Ok(Response::new(v1::CreateTasksResponse { results: created.collect() }))
    }

    async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Result<Response<v1::GetTaskResponse>, Status> {
        self.behave(&request).await?;
        let task = v1::Task { id: request.into_inner().id, ..v1::Task::default() };
        Ok(Response::new(v1::GetTaskResponse { task: Some(task) }))
    }

    async fn list_tasks(&self, _: Request<v1::ListTasksRequest>) -> Result<Response<v1::ListTasksResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn search_tasks(
        &self,
        _: Request<v1::SearchTasksRequest>,
    ) -> Result<Response<v1::SearchTasksResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn update_task(&self, _: Request<v1::UpdateTaskRequest>) -> Result<Response<v1::UpdateTaskResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn delete_task(&self, _: Request<v1::DeleteTaskRequest>) -> Result<Response<v1::DeleteTaskResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn complete_task(
        &self,
        _: Request<v1::CompleteTaskRequest>,
    ) -> Result<Response<v1::CompleteTaskResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn cancel_task(&self, _: Request<v1::CancelTaskRequest>) -> Result<Response<v1::CancelTaskResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn retry_task(&self, _: Request<v1::RetryTaskRequest>) -> Result<Response<v1::RetryTaskResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn retry_tasks(
        &self,
        request: Request<v1::RetryTasksRequest>,
    ) -> Result<Response<Self::RetryTasksStream>, Status> {
        self.behave(&request).await?;
        let (responses, receiver) = mpsc::channel(100);
        let _ = self.retries.send(Opened { request: request.into_inner(), responses }).await;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn cancel_tasks(
        &self,
        _: Request<v1::CancelTasksRequest>,
    ) -> Result<Response<Self::CancelTasksStream>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn complete_tasks(
        &self,
        _: Request<v1::CompleteTasksRequest>,
    ) -> Result<Response<Self::CompleteTasksStream>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn watch_tasks(
        &self,
        request: Request<v1::WatchTasksRequest>,
    ) -> Result<Response<Self::WatchTasksStream>, Status> {
        self.behave(&request).await?;
        let (responses, receiver) = mpsc::channel(100);
        let _ = self.watches.send(Opened { request: request.into_inner(), responses }).await;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_events(&self, _: Request<v1::ListEventsRequest>) -> Result<Response<v1::ListEventsResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }
}
