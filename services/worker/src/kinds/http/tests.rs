//! `http` tasks against a real server.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri},
    routing::any,
};
use serde_json::{Value, json};
use taskyard_client::worker::{Job, Outcome, testing};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::{Http, Reach};

const BYTES_MAX: usize = 1_000;

/// A server, and what it has seen.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

#[derive(Clone, Debug)]
struct Seen {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(serde::Deserialize)]
struct Redirect {
    to: String,
}

type AppState = State<Arc<Mutex<Vec<Seen>>>>;

impl Server {
    async fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into()).await
    }

    async fn start_at(ip: IpAddr) -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let router = Router::new()
            .route("/status/{code}", any(status))
            .route("/redirect/{code}", any(redirect))
            .route("/body/{bytes}", any(body))
            .route("/endless", any(endless))
            .route("/never", any(never))
            .route("/bytes", any(|| async { Body::from(vec![0xff, b'a', 0]) }))
            .fallback(any(|State(seen): AppState, request: axum::extract::Request| async move {
                note(&seen, request).await;
                "hello"
            }))
            .with_state(Arc::clone(&seen));
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, seen }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

async fn note(seen: &Mutex<Vec<Seen>>, request: axum::extract::Request) {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    seen.lock().unwrap().push(Seen { method: parts.method, uri: parts.uri, headers: parts.headers, body });
}

async fn status(Path(code): Path<u16>, uri: Uri) -> Response<Body> {
    let mut response = Response::new(Body::from("a reason"));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    if let Some(value) = uri.query() {
        response.headers_mut().insert("retry-after", value.replace('+', " ").parse().unwrap());
    }
    response
}

async fn redirect(
    State(seen): AppState,
    Path(code): Path<u16>,
    Query(Redirect { to }): Query<Redirect>,
    request: axum::extract::Request,
) -> Response<Body> {
    note(&seen, request).await;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response.headers_mut().insert("location", to.parse().unwrap());
    response
}

async fn body(Path(bytes): Path<usize>) -> String {
    // The limit falls into the middle of a character.
    format!("a{}", "ä".repeat(bytes / 2))
}

async fn endless() -> Body {
    Body::from_stream(futures::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, std::io::Error>(Bytes::from_static(b".")), ()))
    }))
}

async fn never() {
    std::future::pending().await
}

fn http() -> Http {
    Http::new(Reach::public_and(vec![Ipv4Addr::LOCALHOST.into()]), BYTES_MAX).unwrap()
}

async fn run(payload: Value) -> Outcome {
    http().run(&job(payload)).await
}

fn job(payload: Value) -> Job {
    testing::job("http", payload.to_string())
}

fn result(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Completed(json) => serde_json::from_slice(&json).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn failure(outcome: Outcome) -> (String, bool, Option<Duration>) {
    match outcome {
        Outcome::Failed { error, fatal, retry_after } => (error, fatal, retry_after),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_arrives_as_it_was_asked_for() {
    let server = Server::start().await;
    let mut job = job(json!({
        "method": "PUT", "url": server.url("/a?b=c#d"), "headers": {"X-Own": "1", "Authorization": "Bearer x"},
        "body": {"k": [1]},
    }));
    job.attempt = 2;
    let answer = result(http().run(&job).await);
    assert_eq!(
        (&answer["status"], &answer["body"], &answer["truncated"]),
        (&json!(200), &json!("hello"), &json!(false))
    );
    assert_eq!(answer["headers"]["content-type"], "text/plain; charset=utf-8");
    let seen = server.seen().remove(0);
    assert_eq!((seen.method, seen.uri.to_string()), (Method::PUT, "/a?b=c".to_owned()));
    assert_eq!(seen.body, "{\"k\":[1]}");
    for (name, value) in [
        ("x-own", "1"),
        ("authorization", "Bearer x"),
        ("content-type", "application/json"),
        ("taskyard-task-id", &job.task_id.to_string()),
        ("taskyard-run", "1"),
        ("taskyard-attempt", "3"),
    ] {
        assert_eq!(seen.headers[name], value, "{name}");
    }
}

#[tokio::test]
async fn every_class_of_status_has_its_outcome() {
    let server = Server::start().await;
    for code in [200, 201, 202, 204, 226] {
        let answer = result(run(json!({"url": server.url(&format!("/status/{code}"))})).await);
        assert_eq!(answer["status"], code);
    }
    for code in [408, 425, 429, 500, 502, 503, 504, 599] {
        let (error, fatal, _) = failure(run(json!({"url": server.url(&format!("/status/{code}"))})).await);
        assert!(!fatal && error.contains(&code.to_string()) && error.ends_with("a reason"), "{code}: {error}");
    }
    for code in [300, 301, 304, 400, 401, 403, 404, 405, 409, 410, 418, 422, 451] {
        let (error, fatal, _) = failure(run(json!({"url": server.url(&format!("/status/{code}"))})).await);
        assert!(fatal && error.contains(&code.to_string()), "{code}: {error}");
    }
}

#[tokio::test]
async fn retry_after_is_passed_on() {
    let server = Server::start().await;
    for code in [429, 503] {
        let (_, fatal, after) = failure(run(json!({"url": server.url(&format!("/status/{code}?120"))})).await);
        assert_eq!((fatal, after), (false, Some(Duration::from_secs(120))));
        let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(600)).replace(' ', "+");
        let (_, _, after) = failure(run(json!({"url": server.url(&format!("/status/{code}?{date}"))})).await);
        assert!((590..=600).contains(&after.unwrap().as_secs()), "{after:?}");
    }
    let (_, fatal, after) = failure(run(json!({"url": server.url("/status/404?120")})).await);
    assert_eq!((fatal, after), (true, None));
}

#[tokio::test]
async fn bodies_are_kept_up_to_the_limit() {
    let server = Server::start().await;
    let answer = result(run(json!({"url": server.url("/body/998")})).await);
    assert_eq!((answer["body"].as_str().unwrap().len(), &answer["truncated"]), (999, &json!(false)));
    for bytes in [1_000, 1_002, 5_000_000] {
        let answer = result(run(json!({"url": server.url(&format!("/body/{bytes}"))})).await);
        let body = answer["body"].as_str().unwrap();
        assert_eq!((body.len(), &answer["truncated"]), (999, &json!(true)), "no half character");
        assert!(!body.contains('\u{fffd}'));
    }
    let answer = result(run(json!({"url": server.url("/bytes")})).await);
    assert_eq!(answer["body"], "\u{fffd}a\u{0}");
}

#[tokio::test]
async fn a_slow_answer_meets_the_timeout_at_every_point() {
    let server = Server::start().await;
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}/", silent.local_addr().unwrap());
    for url in [server.url("/never"), server.url("/endless"), silent] {
        let began = std::time::Instant::now();
        let (error, fatal, _) = failure(run(json!({"url": url, "timeout_s": 0.3})).await);
        assert!(!fatal && error.contains("0.3 s"), "{error}");
        assert!((290..1_500).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    }
    let mut job = job(json!({"url": server.url("/never"), "timeout_s": 60}));
    job.timeout = Duration::from_millis(200);
    assert!(failure(http().run(&job).await).0.contains("0.2 s"), "the run's own timeout is the longest");
}

#[tokio::test]
async fn a_network_that_fails_is_tried_again() {
    let refused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broken = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc", "nonsense"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let hosts = [refused, broken, broken, broken].map(|address| address.to_string());
    for host in hosts.into_iter().chain(["does-not-exist.invalid".to_owned()]) {
        let (error, fatal, _) = failure(run(json!({"url": format!("http://{host}/")})).await);
        assert!(!fatal, "{host}: {error}");
    }
}

#[tokio::test]
async fn private_addresses_are_refused_however_they_are_written() {
    let server = Server::start().await;
    let port = server.address.port();
    let http = Http::new(Reach::new(false), BYTES_MAX).unwrap();
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "0",
        "10.0.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        // Names are refused where they lead.
        "localhost",
        "LOCALHOST",
    ] {
        let payload = json!({"url": format!("http://{host}:{port}/"), "timeout_s": 5});
        let (error, fatal, _) = failure(http.run(&job(payload)).await);
        assert!(fatal && error.contains("refused"), "{host}: {error}");
    }
    assert!(server.seen().is_empty());
    let all = Http::new(Reach::new(true), BYTES_MAX).unwrap();
    for host in ["127.0.0.1", "2130706433", "localhost"] {
        result(all.run(&job(json!({"url": format!("http://{host}:{port}/")}))).await);
    }
}

#[tokio::test]
async fn only_http_without_a_user_is_spoken() {
    for (url, part) in [
        ("ftp://example.com/", "ftp"),
        ("file:///etc/passwd", "file"),
        ("unix:/run/x", "unix"),
        ("http://user@example.com/", "user name"),
        ("http://:password@example.com/", "user name"),
    ] {
        let (error, fatal, _) = failure(run(json!({"url": url})).await);
        assert!(fatal && error.contains(part), "{url}: {error}");
    }
}

#[tokio::test]
async fn redirects_are_checked_before_they_are_followed() {
    let server = Server::start().await;
    for to in [
        "http://127.0.0.2:1/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:1/",
        "http://0x7f000002/",
        "//127.0.0.2/",
        "http://user:password@127.0.0.1/",
        "file:///etc/passwd",
        "ftp://example.com",
        "http://",
    ] {
        let to: String = reqwest::Url::parse_with_params(&server.url("/redirect/302"), [("to", to)]).unwrap().into();
        let (error, fatal, _) = failure(run(json!({"url": to})).await);
        assert!(fatal, "{to}: {error}");
    }
}

#[tokio::test]
async fn redirects_change_the_request_as_browsers_do() {
    let server = Server::start().await;
    for (code, method, expected, body) in [
        (301, "POST", "GET", ""),
        (302, "POST", "GET", ""),
        (303, "POST", "GET", ""),
        (303, "PUT", "GET", ""),
        (302, "PUT", "PUT", "[1]"),
        (307, "POST", "POST", "[1]"),
        (308, "POST", "POST", "[1]"),
    ] {
        let url = server.url(&format!("/redirect/{code}?to=/end"));
        let payload = json!({"url": url, "method": method, "body": [1], "headers": {"authorization": "x"}});
        assert_eq!(result(run(payload).await)["body"], "hello");
        let seen = server.seen();
        let last = seen.last().unwrap();
        assert_eq!((last.method.as_str(), &last.body[..]), (expected, body.as_bytes()), "{code} {method}");
        assert_eq!(last.headers.contains_key("content-type"), !body.is_empty());
        assert_eq!(last.headers["authorization"], "x", "the same origin keeps it");
    }
}

#[tokio::test]
async fn secrets_do_not_travel_to_another_origin_nor_further() {
    let (one, other) = (Server::start().await, Server::start().await);
    // From one to the other, within the other, and back to the first.
    let back = one.url("/end");
    let within = format!("/redirect/307?to={back}");
    let hop = reqwest::Url::parse_with_params(&other.url("/redirect/307"), [("to", within)]).unwrap();
    let start = reqwest::Url::parse_with_params(&one.url("/redirect/307"), [("to", hop.as_str())]).unwrap();
    let headers = json!({"Authorization": "s", "Cookie": "s", "X-Api-Key": "s", "Accept": "text/plain"});
    let payload = json!({"url": start.as_str(), "method": "POST", "body": {}, "headers": headers});
    result(run(payload).await);
    let (at_one, at_other) = (one.seen(), other.seen());
    assert_eq!((at_one.len(), at_other.len()), (2, 2));
    assert_eq!(at_one[0].headers["x-api-key"], "s");
    for seen in at_other.iter().chain([&at_one[1]]) {
        assert!(!seen.headers.values().any(|value| value == "s"), "{:?}", seen.headers);
        assert_eq!(
            (&seen.headers["accept"], &seen.headers["content-type"]),
            (&HeaderValue::from_static("text/plain"), &HeaderValue::from_static("application/json"))
        );
        assert!(seen.headers.contains_key("taskyard-task-id"));
    }
}

#[tokio::test]
async fn five_redirects_are_enough() {
    let server = Server::start().await;
    let chain = |hops: usize| {
        (0..hops).fold(server.url("/end"), |to, _| {
            reqwest::Url::parse_with_params(&server.url("/redirect/302"), [("to", to)]).unwrap().into()
        })
    };
    result(run(json!({"url": chain(5)})).await);
    let (error, fatal, _) = failure(run(json!({"url": chain(6)})).await);
    assert!(fatal && error.contains("5 redirects"), "{error}");
}
