//! gRPC through the gateway's port.

use std::time::Duration;

use taskyard_core::ErrorCode;
use taskyard_proto::{
    status::from_status,
    v1::{
        self, task_service_client::TaskServiceClient, work_request, work_response,
        work_service_client::WorkServiceClient,
    },
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};

use crate::{
    fake::{MISSING, SLOW},
    harness::{Gateway, TOKEN, start, start_with},
};

const ID: &str = "01900000-0000-7000-8000-000000000001";

async fn connect(gateway: &Gateway) -> Channel {
    Endpoint::from_shared(format!("http://{}", gateway.address)).unwrap().connect().await.unwrap()
}

/// Shows the token.
fn show(mut request: Request<()>) -> Result<Request<()>, tonic::Status> {
    request.metadata_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    Ok(request)
}

fn get(id: &str) -> v1::GetTaskRequest {
    v1::GetTaskRequest { id: id.into() }
}

#[tokio::test]
async fn a_slow_call_is_cut_off_though_its_client_names_no_deadline() {
    let gateway = start_with(|config| config.request_timeout = Duration::from_millis(500)).await;
    let mut tasks = TaskServiceClient::with_interceptor(connect(&gateway).await, show);
    let status = timeout(Duration::from_secs(5), tasks.get_task(get(SLOW))).await.expect("in time").unwrap_err();
    assert_eq!(from_status(&status).code, ErrorCode::DeadlineExceeded, "{status:?}");

    // A message that never ends.
    let stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let (executor, io) = (hyper_util::rt::TokioExecutor::new(), hyper_util::rt::TokioIo::new(stream));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let begun = bytes::Bytes::from_static(&[0, 0, 0, 0, 40, 10]);
    let body =
        futures::StreamExt::chain(futures::stream::iter([Ok::<_, std::io::Error>(begun)]), futures::stream::pending());
    let request = http::Request::post("http://localhost/taskyard.v1.TaskService/GetTask")
        .header("content-type", "application/grpc")
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(axum::body::Body::from_stream(body))
        .unwrap();
    let response = timeout(Duration::from_secs(5), sender.send_request(request)).await.expect("in time").unwrap();
    assert_eq!(response.headers()["grpc-status"], (Code::DeadlineExceeded as i32).to_string());
}

#[tokio::test]
async fn calls_and_their_errors_pass() {
    let gateway = start().await;
    let mut tasks = TaskServiceClient::with_interceptor(connect(&gateway).await, show);
    let mut request = Request::new(get(ID));
    request.set_timeout(Duration::from_secs(5));
    request.metadata_mut().insert("x-request-id", "abc-2".parse().unwrap());
    let task = tasks.get_task(request).await.unwrap().into_inner().task.unwrap();
    assert_eq!(task.id, ID);
    let seen = gateway.fake.last();
    assert_eq!(seen.request_id.as_deref(), Some("abc-2"));
    assert!(seen.timeout.is_some(), "the client's own deadline");

    let status = tasks.get_task(get(MISSING)).await.unwrap_err();
    assert_eq!(from_status(&status).code, ErrorCode::TaskNotFound, "details pass: {status:?}");
    let wrong = v1::CreateTaskRequest { task: Some(v1::NewTask::default()) };
    let status = tasks.create_task(wrong).await.unwrap_err();
    assert_eq!(from_status(&status).violations[0].field, "kind");

    let mut request = Request::new(get(SLOW));
    request.set_timeout(Duration::from_millis(200));
    let status = timeout(Duration::from_secs(5), tasks.get_task(request)).await.expect("in time").unwrap_err();
    assert_eq!(from_status(&status).code, ErrorCode::DeadlineExceeded, "{status:?}");
}

#[tokio::test]
async fn a_stream_passes_to_its_trailers() {
    let gateway = start().await;
    let mut tasks = TaskServiceClient::with_interceptor(connect(&gateway).await, show);
    let mut events = tasks.watch_tasks(v1::WatchTasksRequest::default()).await.unwrap().into_inner();
    let message = async |events: &mut tonic::Streaming<v1::WatchTasksResponse>| events.message().await;
    use v1::watch_tasks_response::Message;
    assert!(matches!(message(&mut events).await.unwrap().unwrap().message, Some(Message::Opened(_))));
    assert!(matches!(message(&mut events).await.unwrap().unwrap().message, Some(Message::Event(_))));
    let status = message(&mut events).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "this pod stops"));
    assert!(from_status(&status).retry_after.is_some(), "details pass in trailers too");
}

#[tokio::test]
async fn both_ways_stream_at_once() {
    let gateway = start().await;
    let mut work = WorkServiceClient::with_interceptor(connect(&gateway).await, show);
    let (say, said) = mpsc::channel(1);
    let message = |message| v1::WorkRequest { message: Some(message) };
    say.send(message(work_request::Message::Hello(v1::Hello::default()))).await.unwrap();
    let mut heard = work.work(ReceiverStream::new(said)).await.unwrap().into_inner();
    let mut hear = async || {
        let heard = timeout(Duration::from_secs(5), heard.message()).await.expect("it is answered before the end");
        heard.unwrap().map(|heard| heard.message.unwrap())
    };
    assert!(matches!(hear().await, Some(work_response::Message::Welcome(_))));
    for _ in 0..100 {
        say.send(message(work_request::Message::Pong(v1::Pong {}))).await.unwrap();
        assert!(matches!(hear().await, Some(work_response::Message::Ping(_))));
    }
    say.send(message(work_request::Message::Goodbye(v1::Goodbye {}))).await.unwrap();
    assert!(matches!(hear().await, Some(work_response::Message::Farewell(_))));
    drop(say);
    assert_eq!(hear().await, None);
}

#[tokio::test]
async fn the_tasks_service_judges_the_callers_own_token() {
    let gateway = start().await;
    let channel = connect(&gateway).await;
    for wrong in ["", "Bearer tyk_wrong", "Basic x"] {
        let mut request = Request::new(get(ID));
        if !wrong.is_empty() {
            request.metadata_mut().insert("authorization", wrong.parse().unwrap());
        }
        let status = TaskServiceClient::new(channel.clone()).get_task(request).await.unwrap_err();
        assert_eq!(from_status(&status).code, ErrorCode::Unauthenticated, "{wrong}");
    }
    assert_eq!(gateway.fake.count(), 0);
    assert!(TaskServiceClient::with_interceptor(channel, show).get_task(get(ID)).await.is_ok());
}

#[tokio::test]
async fn unknown_methods_and_absent_pods_are_statuses() {
    let gateway = start_with(|config| {
        config.tasks_urls = vec!["http://127.0.0.1:1".into()];
        config.request_timeout = Duration::from_millis(500);
    })
    .await;
    let status =
        TaskServiceClient::with_interceptor(connect(&gateway).await, show).get_task(get(ID)).await.unwrap_err();
    assert_eq!(from_status(&status).code, ErrorCode::Unavailable, "{status:?}");
    let (status, code, _) = gateway.get(&format!("/v1/tasks/{ID}")).await.problem();
    assert_eq!((status, code.as_str()), (503, "UNAVAILABLE"));
    assert_eq!(gateway.get("/readyz").await.status, 503);

    let gateway = start().await;
    let mut client = tonic::client::Grpc::new(connect(&gateway).await);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/taskyard.v9.TaskService/Nothing");
    let codec = tonic_prost::ProstCodec::<v1::GetTaskRequest, v1::GetTaskResponse>::default();
    let status = client.unary(Request::new(get(ID)), path, codec).await.unwrap_err();
    assert_eq!(from_status(&status).code, ErrorCode::RouteNotFound);
}

#[tokio::test]
async fn grpc_over_http_1_is_refused() {
    let gateway = start().await;
    let request = http::Request::post("/taskyard.v1.TaskService/GetTask")
        .header("content-type", "application/grpc")
        .body(axum::body::Body::empty())
        .unwrap();
    let (status, code, _) = gateway.send(request).await.problem();
    assert_eq!((status, code.as_str()), (505, "UNSUPPORTED"));
}
