//! A gateway and a fake tasks service on ports of their own, and a client.

use std::{net::SocketAddr, time::Duration};

use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use taskyard_gateway::Config;
use taskyard_proto::v1::{
    queue_service_server::QueueServiceServer, task_service_server::TaskServiceServer,
    user_service_server::UserServiceServer, work_service_server::WorkServiceServer,
};
use taskyard_runtime::{
    grpc::{CatchPanicLayer, ObserveLayer},
    health::Health,
    identity::{AuthLayer, Identities},
    metrics::Metrics,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, server::TcpIncoming};

use crate::fake::Fake;

/// What every request shows, unless it shows something else.
pub const TOKEN: &str = "tyk_of-all-tests";

pub struct Gateway {
    pub address: SocketAddr,
    pub fake: Fake,
    pub health: Health,
    pub metrics: Metrics,
    pub shutdown: CancellationToken,
    pub running: JoinHandle<anyhow::Result<()>>,
    _fake_stops: tokio_util::sync::DropGuard,
}

pub async fn start() -> Gateway {
    start_with(|_| {}).await
}

pub async fn start_with(change: impl FnOnce(&mut Config)) -> Gateway {
    let fake = Fake::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tasks_url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let health = Health::new();
    let server = Server::builder()
        .layer(ObserveLayer::new(&Metrics::new()))
        .layer(CatchPanicLayer)
        .layer(AuthLayer::new(Identities::new(fake.clone())))
        .add_service(health.grpc_service(&["taskyard.v1.TaskService"]).await)
        .add_service(TaskServiceServer::new(fake.clone()).max_decoding_message_size(32 << 20))
        .add_service(QueueServiceServer::new(fake.clone()))
        .add_service(UserServiceServer::new(fake.clone()))
        .add_service(WorkServiceServer::new(fake.clone()))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop.clone().cancelled_owned());
    tokio::spawn(server);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = Config::new(address, vec![tasks_url]);
    config.http.drain = Duration::from_secs(2);
    change(&mut config);
    let (health, metrics, shutdown) = (Health::new(), Metrics::new(), CancellationToken::new());
    let run = taskyard_gateway::run(config, listener, health.clone(), metrics.clone(), shutdown.clone());
    let running = tokio::spawn(run);
    Gateway { address, fake, health, metrics, shutdown, running, _fake_stops: stop.drop_guard() }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Checks that it is a problem document, and gives its code and detail.
    pub fn problem(&self) -> (u16, String, String) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text);
        let json = self.json();
        assert_eq!(json["status"], self.status.as_u16());
        let text = |name: &str| json[name].as_str().unwrap().to_owned();
        assert_eq!(text("type"), format!("/docs/errors#{}", text("code")));
        (self.status.as_u16(), text("code"), text("detail"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl Gateway {
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// With a JSON body, or none if it is empty.
    pub async fn json(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Over a connection of its own, HTTP/1.1. An empty `authorization` stands for none.
    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        match request.headers().get("authorization") {
            None => drop(request.headers_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap())),
            Some(header) if header.is_empty() => drop(request.headers_mut().remove("authorization")),
            Some(_) => {}
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        if !request.headers().contains_key("host") {
            let host = format!("localhost:{}", self.address.port());
            request.headers_mut().insert("host", host.parse().unwrap());
        }
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = to_bytes(Body::new(body), 64 << 20).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: head.status, headers: head.headers, text }
    }
}
