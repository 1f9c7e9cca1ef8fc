//! A pod that does what a test says, and a worker to talk to it.

use std::{net::SocketAddr, sync::Mutex, time::Duration};

use bytes::Bytes;
use taskyard_client::{
    Pods, Result, Token,
    v1::{
        self, Verdict,
        result::Outcome,
        work_request, work_response,
        work_service_server::{WorkService, WorkServiceServer},
    },
    worker::{Handler, Worker, WorkerBuilder},
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle, time::timeout};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, transport::Server};
use uuid::Uuid;

pub const SOON: Duration = Duration::from_secs(10);

/// A pod. Its server runs in a runtime of its own, so that it can vanish at once.
pub struct FakePod {
    pub address: SocketAddr,
    streams: mpsc::Receiver<FakeStream>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// The pod's end of a worker's stream, after Hello.
pub struct FakeStream {
    pub hello: v1::Hello,
    pub authorization: Option<String>,
    requests: Streaming<v1::WorkRequest>,
    responses: mpsc::Sender<Result<v1::WorkResponse, Status>>,
}

struct Service {
    streams: mpsc::Sender<FakeStream>,
    refusal: Option<Mutex<Status>>,
}

#[tonic::async_trait]
impl WorkService for Service {
    type WorkStream = ReceiverStream<Result<v1::WorkResponse, Status>>;

    async fn work(&self, request: Request<Streaming<v1::WorkRequest>>) -> Result<Response<Self::WorkStream>, Status> {
        let authorization = request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let mut requests = request.into_inner();
        let Some(v1::WorkRequest { message: Some(work_request::Message::Hello(hello)) }) = requests.message().await?
        else {
            return Err(Status::invalid_argument("the first message is not Hello"));
        };
        if let Some(status) = &self.refusal {
            return Err(status.lock().unwrap().clone());
        }
        let (responses, receiver) = mpsc::channel(1_000);
        let stream = FakeStream { hello, authorization, requests, responses };
        self.streams.send(stream).await.map_err(|_| Status::unavailable("the test has ended"))?;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl FakePod {
    pub fn start() -> Self {
        Self::start_with(None, "127.0.0.1:0")
    }

    pub fn refusing(status: Status) -> Self {
        Self::start_with(Some(status), "127.0.0.1:0")
    }

    pub fn start_with(refusal: Option<Status>, address: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, streams) = mpsc::channel(100);
        let service = Service { streams: sender, refusal: refusal.map(Mutex::new) };
        runtime.spawn(async move {
            let listener = TcpListenerStream::new(TcpListener::from_std(listener).unwrap());
            let service = WorkServiceServer::new(service).max_decoding_message_size(16 << 20);
            // Small windows, so that a pod that does not read makes the worker wait.
            let mut server =
                Server::builder().initial_stream_window_size(65_535).initial_connection_window_size(65_535);
            server.add_service(service).serve_with_incoming(listener).await.unwrap();
        });
        Self { address, streams, runtime: Some(runtime) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for a worker's Hello.
    pub async fn hello(&mut self) -> FakeStream {
        timeout(SOON, self.streams.recv()).await.expect("a worker says hello").expect("the pod is there")
    }

    /// Waits for a worker's Hello and answers Welcome.
    pub async fn welcome(&mut self) -> FakeStream {
        let stream = self.hello().await;
        stream.send_welcome(Duration::from_secs(60)).await;
        stream
    }

    pub async fn hears_nothing(&mut self, time: Duration) {
        assert!(timeout(time, self.streams.recv()).await.is_err(), "a worker said hello");
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

impl FakeStream {
    pub async fn send(&self, message: work_response::Message) {
        let _ = self.responses.send(Ok(v1::WorkResponse { message: Some(message) })).await;
    }

    pub async fn fail(&self, status: Status) {
        let _ = self.responses.send(Err(status)).await;
    }

    pub async fn send_welcome(&self, silence_timeout: Duration) {
        let welcome = v1::Welcome {
            connection: 1,
            session_timeout: None,
            ping_interval: None,
            silence_timeout: Some(silence_timeout.try_into().unwrap()),
        };
        self.send(work_response::Message::Welcome(welcome)).await;
    }

    pub async fn assign(&self, runs: impl IntoIterator<Item = v1::Assignment>) {
        let runs = runs.into_iter().collect();
        self.send(work_response::Message::Assignments(v1::Assignments { runs })).await;
    }

    pub async fn stop(&self, task_id: &str, run: u32, reason: v1::StopReason) {
        let stop = v1::Stop { task_id: task_id.to_owned(), run, reason: reason.into() };
        self.send(work_response::Message::Stops(v1::Stops { stops: vec![stop] })).await;
    }

    pub async fn acknowledge(&self, task_id: &str, run: u32, verdict: Verdict) {
        let ack =
            v1::ResultAck { task_id: task_id.to_owned(), run, verdict: verdict.into(), message: "why".to_owned() };
        self.send(work_response::Message::Acks(v1::ResultAcks { acks: vec![ack] })).await;
    }

    /// The next message of the worker.
    pub async fn next(&mut self) -> work_request::Message {
        self.next_or_end().await.expect("the stream is open")
    }

    /// The next message of the worker; none if it closed the stream.
    pub async fn next_or_end(&mut self) -> Option<work_request::Message> {
        let received = timeout(SOON, self.requests.message()).await.expect("the worker says something");
        received.ok().flatten().map(|request| request.message.expect("a message"))
    }

    /// The next result, whatever comes before it.
    pub async fn result(&mut self) -> v1::Result {
        loop {
            if let work_request::Message::Results(results) = self.next().await {
                assert_eq!(results.results.len(), 1, "{results:?}");
                return results.results[0].clone();
            }
        }
    }

    /// The next `count` results, by task.
    pub async fn results(&mut self, count: usize) -> Vec<v1::Result> {
        let mut all = Vec::new();
        while all.len() < count {
            if let work_request::Message::Results(results) = self.next().await {
                all.extend(results.results);
            }
        }
        assert_eq!(all.len(), count);
        all.sort_by(|one, other| one.task_id.cmp(&other.task_id));
        all
    }

    /// Waits until the worker has read everything that was sent so far.
    pub async fn barrier(&mut self) -> Vec<work_request::Message> {
        self.send(work_response::Message::Ping(v1::Ping {})).await;
        let mut before = Vec::new();
        loop {
            match self.next().await {
                work_request::Message::Pong(_) => return before,
                other => before.push(other),
            }
        }
    }
}

/// A running worker.
pub struct FakeWorker {
    pub shutdown: CancellationToken,
    running: JoinHandle<Result<()>>,
}

impl FakeWorker {
    pub fn start<H: Handler>(builder: WorkerBuilder, handler: H) -> Self {
        let shutdown = CancellationToken::new();
        let worker = builder.build().expect("a good worker");
        let running = tokio::spawn(worker.run(handler, shutdown.clone()));
        Self { shutdown, running }
    }

    /// How `run` ended.
    pub async fn ended(self) -> Result<()> {
        timeout(SOON, self.running).await.expect("the worker ends").expect("no panic")
    }
}

/// A builder of a worker of these pods, with short times.
pub fn builder(pods: &[&FakePod]) -> WorkerBuilder {
    let urls: Vec<_> = pods.iter().map(|pod| pod.url()).collect();
    let pods = Pods::connect(urls, Token::bearer("secret").unwrap()).unwrap();
    Worker::builder(pods)
        .name("test")
        .kinds(["test"])
        .slots(100)
        .grace_period(Duration::from_secs(2))
        .stop_grace(Duration::from_millis(200))
}

pub fn new_id() -> String {
    Uuid::now_v7().to_string()
}

pub fn assignment(task_id: &str, run: u32, payload: &str) -> v1::Assignment {
    v1::Assignment {
        task_id: task_id.to_owned(),
        run,
        namespace: "me".to_owned(),
        queue: "default".to_owned(),
        kind: "test".to_owned(),
        title: "a title".to_owned(),
        attempt: 1,
        attempts_max: 3,
        timeout: Some(Duration::from_secs(60).try_into().unwrap()),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        ..v1::Assignment::default()
    }
}

pub fn completed(result: &str) -> Option<Outcome> {
    Some(Outcome::Completed(v1::Completed { result: Bytes::copy_from_slice(result.as_bytes()), chunked_bytes: 0 }))
}

pub fn failed(error: &str) -> Option<Outcome> {
    Some(Outcome::Failed(v1::Failed { error: error.to_owned(), ..v1::Failed::default() }))
}

pub const fn returned() -> Option<Outcome> {
    Some(Outcome::Returned(v1::Returned {}))
}

pub const fn stopped() -> Option<Outcome> {
    Some(Outcome::Stopped(v1::Stopped {}))
}

/// The runs that a hello names, sorted.
pub fn held(stream: &FakeStream) -> Vec<(String, u32)> {
    let mut held: Vec<_> = stream.hello.held.iter().map(|run| (run.task_id.clone(), run.run)).collect();
    held.sort();
    held
}
