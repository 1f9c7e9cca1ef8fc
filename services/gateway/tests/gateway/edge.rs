//! Who is let in, and what every answer has.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::Request;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    fake::SLOW,
    harness::{Gateway, TOKEN, start, start_with},
};

const ID: &str = "01900000-0000-7000-8000-000000000001";

async fn with_header(gateway: &Gateway, path: &str, name: &str, value: &str) -> crate::harness::Answer {
    gateway.send(Request::get(path).header(name, value).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn only_who_is_known_is_let_in_and_their_token_is_passed_on() {
    let gateway = start().await;
    let path = format!("/v1/tasks/{ID}");
    for wrong in ["", "Bearer tyk_wrong", "Basic x", "Bearer"] {
        let (status, code, _) = with_header(&gateway, &path, "authorization", wrong).await.problem();
        assert_eq!((status, code.as_str()), (401, "UNAUTHENTICATED"), "{wrong}");
    }
    assert_eq!(with_header(&gateway, &path, "authorization", "").await.header("www-authenticate"), "Bearer");
    let unknown = with_header(&gateway, "/no/route", "authorization", "").await;
    assert_eq!(unknown.status, 401, "who may not come in learns no routes");
    assert_eq!(gateway.fake.count(), 0);

    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(with_header(&gateway, &path, "authorization", &bearer).await.status, 200);
    assert_eq!(gateway.fake.last().authorization.as_deref(), Some(bearer.as_str()));
    for open in ["/healthz", "/readyz"] {
        assert_eq!(with_header(&gateway, open, "authorization", "").await.status, 200);
    }
}

#[tokio::test]
async fn names_of_others_and_pages_of_others_are_refused() {
    let gateway = start().await;
    let path = format!("/v1/tasks/{ID}");
    let (status, code, detail) = with_header(&gateway, &path, "host", "evil.example").await.problem();
    assert_eq!((status, code.as_str()), (421, "UNSUPPORTED"), "{detail}");
    assert_eq!(with_header(&gateway, "/healthz", "host", "10.0.0.1:8080").await.status, 200);

    let cancel = async |origin: &str| {
        let request = Request::post(format!("{path}/cancel")).header("origin", origin).body(Body::empty()).unwrap();
        gateway.send(request).await
    };
    let (status, code, _) = cancel("https://evil.example").await.problem();
    assert_eq!((status, code.as_str()), (403, "FORBIDDEN"));
    assert_eq!(cancel("null").await.status, 403);
    assert_eq!(cancel(&format!("http://localhost:{}", gateway.address.port())).await.status, 200);

    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let body = Body::from(r#"{"kind":"echo"}"#);
        let request = Request::post("/v1/tasks").header("content-type", kind).body(body).unwrap();
        let (status, code, _) = gateway.send(request).await.problem();
        assert_eq!((status, code.as_str()), (415, "UNSUPPORTED"));
    }
    let request = Request::post(format!("{path}/cancel")).body(Body::from(r#"{"reason":"x"}"#)).unwrap();
    assert_eq!(gateway.send(request).await.status, 415, "no content type");
}

#[tokio::test]
async fn rest_is_spoken_over_http_2_too() {
    let gateway = start().await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    for (host, status) in [("localhost:1", 200), ("evil.example", 421)] {
        let uri = format!("http://{host}/v1/tasks/{ID}");
        let request = Request::get(uri).header("authorization", format!("Bearer {TOKEN}"));
        let response = sender.send_request(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{host}");
    }
    for (name, value, status) in [("x-long", "x".repeat(40_000), 431), ("host", "evil.example".to_owned(), 400)] {
        let request = Request::get(format!("http://localhost:1/v1/tasks/{ID}")).header(name, value);
        let response = sender.send_request(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{name}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{name}");
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let gateway = start().await;
    for path in ["/", "/v1", "/v1/task", "/v1/tasks/", "/V1/tasks", "/v1/tasks/a/b/c"] {
        let (status, code, _) = gateway.get(path).await.problem();
        assert_eq!((status, code.as_str()), (404, "ROUTE_NOT_FOUND"), "{path}");
    }
    for (method, path, allow) in [
        ("PUT", "/v1/tasks", "GET,HEAD,POST"),
        ("GET", "/v1/tasks/batch", "POST"),
        ("POST", "/v1/queues/a/limits", "PUT"),
        ("POST", "/healthz", "GET,HEAD"),
        ("BREW", "/v1/events", "GET,HEAD"),
    ] {
        let answer = gateway.json(method, path, "").await;
        let (status, code, _) = answer.problem();
        assert_eq!((status, code.as_str(), answer.header("allow")), (405, "UNSUPPORTED", allow), "{method} {path}");
    }
}

#[tokio::test]
async fn every_answer_names_its_request_and_is_not_kept() {
    let gateway = start().await;
    let path = format!("/v1/tasks/{ID}");
    let answer = with_header(&gateway, &path, "x-request-id", "abc-1").await;
    assert_eq!(answer.header("x-request-id"), "abc-1");
    assert_eq!(gateway.fake.last().request_id.as_deref(), Some("abc-1"));
    for answer in [answer, gateway.get("/nowhere").await, gateway.get("/healthz").await] {
        assert!(!answer.header("x-request-id").is_empty());
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
    }
    let text = gateway.metrics.render().unwrap();
    let counted = r#"taskyard_http_requests_total{method="GET",route="/v1/tasks/{id}",status="200"} 1"#;
    assert!(text.contains(counted), "{text}");
    assert!(text.contains(r#"route="unknown",status="404""#) && !text.contains("nowhere"), "{text}");
}

#[tokio::test]
async fn deadlines_are_kept_and_passed_on() {
    let gateway = start().await;
    let answer = with_header(&gateway, &format!("/v1/tasks/{SLOW}"), "x-request-timeout-ms", "200").await;
    let (status, code, _) = answer.problem();
    assert_eq!((status, code.as_str()), (504, "DEADLINE_EXCEEDED"));
    let passed_on = gateway.fake.last().timeout.expect("a deadline");
    let micros: u64 = passed_on.trim_end_matches('u').parse().expect(&passed_on);
    assert!(micros <= 200_000, "{passed_on}");

    gateway.get(&format!("/v1/tasks/{ID}")).await;
    assert!(gateway.fake.last().timeout.is_some(), "the greatest, if the client says nothing");
    let answer = with_header(&gateway, &format!("/v1/tasks/{ID}"), "x-request-timeout-ms", "30001").await;
    assert_eq!(answer.problem().2, "X-Request-Timeout-Ms: `30001` must be a number from 1 to 30000");
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let gateway = start_with(|config| config.bodies_bytes_max = 20 << 20).await;
    let post = async |body: Body| {
        let request = Request::post("/v1/tasks").header("content-type", "application/json").body(body).unwrap();
        gateway.send(request).await
    };
    // Without a length: found out on the way.
    let chunk = Bytes::from(vec![b' '; 1 << 20]);
    let chunks = stream::iter(std::iter::repeat_n(chunk, 17).map(Ok::<_, std::io::Error>));
    let (status, code, _) = post(Body::from_stream(chunks)).await.problem();
    assert_eq!((status, code.as_str()), (413, "TOO_LARGE"));

    // With a length, by a client that sends it all before it reads.
    let mut client = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!(
        "POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: 41943040\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&vec![b' '; 40 << 20]).await.expect("it can send all");
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");

    // What holds the room gives it back.
    for _ in 0..3 {
        let large = format!(r#"{{"kind":"echo","payload":"{}"}}"#, "x".repeat(15 << 20));
        let (status, code, detail) = post(Body::from(large)).await.problem();
        assert_eq!((status, code.as_str()), (400, "INVALID_INPUT"), "{detail}");
    }
}

#[tokio::test]
async fn bodies_held_at_once_are_bounded() {
    let gateway = start_with(|config| {
        config.bodies_bytes_max = 1 << 20;
        config.body_timeout = Duration::from_millis(800);
    })
    .await;
    let post = |body| {
        let request = Request::post("/v1/tasks").header("content-type", "application/json").body(body).unwrap();
        gateway.send(request)
    };
    let begun = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 900 << 10]))]);
    let unfinished = futures::StreamExt::chain(begun, stream::pending());
    let first = post(Body::from_stream(unfinished));
    let second = async {
        sleep(Duration::from_millis(300)).await;
        post(Body::from(vec![b' '; 500 << 10])).await
    };
    let (first, second) = tokio::join!(first, second);
    let (status, code, _) = second.problem();
    assert_eq!((status, code.as_str(), second.header("retry-after")), (429, "EXHAUSTED", "1"));
    let (status, code, _) = first.problem();
    assert_eq!((status, code.as_str()), (504, "DEADLINE_EXCEEDED"), "it never came");
    assert_eq!(post(Body::from(vec![b' '; 500 << 10])).await.status, 400, "there is room again");
}

#[tokio::test]
async fn a_stop_is_clean() {
    let gateway = start().await;
    timeout(Duration::from_secs(5), gateway.health.wait_until_ready()).await.expect("it becomes ready");
    let path = format!("/v1/tasks/{SLOW}");
    let running = with_header(&gateway, &path, "x-request-timeout-ms", "500");
    let stop = async {
        while gateway.fake.count() == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        gateway.shutdown.cancel();
    };
    let (answer, ()) = tokio::join!(running, stop);
    assert_eq!(answer.status, 504, "a running request is answered");
    assert_eq!(gateway.health.missing(), ["draining"]);
    timeout(Duration::from_secs(5), gateway.running).await.expect("it ends").unwrap().unwrap();
}
