//! Clients that do not speak as they should: bytes on a socket, and what comes back.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::harness::{Gateway, TOKEN, start, start_with};

const ID: &str = "01900000-0000-7000-8000-000000000001";

/// The same bytes, with the token in every request.
fn with_token(bytes: &[u8]) -> Vec<u8> {
    match str::from_utf8(bytes) {
        Ok(text) => {
            text.replace(" HTTP/1.1\r\n", &format!(" HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n")).into_bytes()
        }
        Err(_) => bytes.to_vec(),
    }
}

/// Sends bytes and reads all that comes until the connection ends, or nothing more comes.
async fn say(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(&with_token(bytes)).await.unwrap();
    let mut answer = Vec::new();
    let mut part = vec![0; 16_384];
    while let Ok(Ok(read @ 1..)) = timeout(Duration::from_millis(700), stream.read(&mut part)).await {
        answer.extend_from_slice(&part[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of all answers in a text.
fn statuses(text: &str) -> Vec<u16> {
    let lines = text.split("HTTP/1.1 ").skip(1);
    lines.map(|line| line[..3].parse().unwrap()).collect()
}

#[tokio::test]
async fn long_paths_queries_and_headers_are_refused_with_a_reason() {
    let gateway = start().await;
    let long = |count: usize| "x".repeat(count);
    for (path, status, part) in [
        (format!("/v1/tasks/{}", long(2_100)), 414, "the path: 2110 bytes; at most 2048 are taken"),
        (format!("/v1/tasks?queue={}", long(8_200)), 414, "the query: 8206 bytes; at most 8192 are taken"),
    ] {
        let (got, code, detail) = gateway.get(&path).await.problem();
        assert_eq!((got, code.as_str(), detail.as_str()), (status, "TOO_LARGE", part));
    }
    let header =
        |bytes: usize| format!("GET /v1/queues HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", long(bytes));
    let answer = say(&gateway, header(40_000).as_bytes()).await;
    assert_eq!(statuses(&answer), [431]);
    assert!(answer.contains("TOO_LARGE") && answer.contains("at most 32768 are taken"), "{answer}");
    // Above twice the limit nobody reads on to give a reason.
    for huge in [header(100_000), format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", long(80_000))] {
        let answer = say(&gateway, huge.as_bytes()).await;
        assert!(matches!(statuses(&answer)[..], [414 | 431]), "{answer}");
    }
    let many: String = (0..500).map(|n| format!("X-{n}: a\r\n")).collect();
    let answer = say(&gateway, format!("GET /v1/queues HTTP/1.1\r\nHost: localhost\r\n{many}\r\n").as_bytes()).await;
    assert_eq!(statuses(&answer), [431]);
    assert_eq!(statuses(&say(&gateway, header(20_000).as_bytes()).await), [200], "what is within it is taken");
    assert_eq!(gateway.fake.count(), 1);
}

#[tokio::test]
async fn slow_headers_and_slow_bodies_are_cut_off() {
    let gateway = start_with(|config| {
        config.http.header_timeout = Duration::from_millis(400);
        config.body_timeout = Duration::from_millis(600);
    })
    .await;
    // A byte now and then, for ever.
    for begin in [
        "GET /v1/queues HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".to_owned(),
        "POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n{"
            .to_owned(),
        format!(
            "POST /v1/tasks/{ID}/cancel HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n"
        ),
    ] {
        let began = Instant::now();
        let (mut reader, mut writer) = TcpStream::connect(gateway.address).await.unwrap().into_split();
        writer.write_all(&with_token(begin.as_bytes())).await.unwrap();
        let drip = async {
            let chunked = begin.contains("chunked");
            while writer.write_all(if chunked { b"1\r\n \r\n" } else { b" " }).await.is_ok() {
                sleep(Duration::from_millis(50)).await;
            }
            std::future::pending::<()>().await;
        };
        let mut answer = Vec::new();
        let read = async {
            // The end, clean or not.
            let _ = reader.read_to_end(&mut answer).await;
        };
        tokio::select! {
            () = drip => unreachable!(),
            ended = timeout(Duration::from_secs(5), read) => ended.expect("it is cut off in time"),
        }
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        let answer = String::from_utf8_lossy(&answer);
        let is_body = begin.starts_with("POST");
        assert_eq!(answer.contains("504 Gateway Timeout") && answer.contains("DEADLINE_EXCEEDED"), is_body, "{answer}");
    }
    assert_eq!(gateway.fake.count(), 0);
}

#[tokio::test]
async fn what_two_servers_could_read_differently_is_read_once_or_refused() {
    let gateway = start().await;
    let body = r#"{"kind":"echo"}"#;
    let post = |headers: &str, body: &str| {
        format!("POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}\r\n{body}")
    };
    // Refused, and nothing behind it is taken for a request.
    let hidden = "GET /v1/queues HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for headers in [
        "Content-Length: 15\r\nContent-Length: 16\r\n",
        "Content-Length: 15, 16\r\n",
        "Content-Length: +15\r\n",
        "Content-Length: 0x0f\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length : 15\r\n",
        "X-A: b\r\n folded: c\r\n",
        "X-A: b\0c\r\n",
        "Host: evil.example\r\n",
        "Host: localhost\r\n",
    ] {
        let answer = say(&gateway, format!("{}{hidden}", post(headers, body)).as_bytes()).await;
        let first = statuses(&answer).first().copied();
        assert!(first.is_some_and(|status| status == 400), "{headers:?}: {answer}");
        assert!(!answer.contains("\"queues\""), "{headers:?}: {answer}");
    }
    assert_eq!(gateway.fake.count(), 0);

    // Chunks win over a length, once and for all: what a length would have hidden is part of neither.
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let both = post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", &chunked);
    assert_eq!(statuses(&say(&gateway, both.as_bytes()).await), [201]);
    assert_eq!(gateway.fake.count(), 1);
    for wrong in ["zz\r\n{}\r\n0\r\n\r\n", "-1\r\n", "ffffffffffffffffff\r\n{}", "f\r\n{\"kind\":\"echo\"}X0\r\n\r\n"] {
        let answer = say(&gateway, post("Transfer-Encoding: chunked\r\n", wrong).as_bytes()).await;
        assert!(matches!(statuses(&answer)[..], [400]), "{wrong:?}: {answer}");
    }
    assert_eq!(gateway.fake.count(), 1);
}

#[tokio::test]
async fn the_host_is_named_once() {
    let gateway = start().await;
    for (request, status) in [
        ("GET /v1/queues HTTP/1.1\r\n\r\n", 400),
        ("GET /v1/queues HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        ("GET http://localhost/v1/queues HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400),
        ("GET http://evil.example/v1/queues HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET http://localhost/v1/queues HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        ("GET http://user@localhost/v1/queues HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET /v1/queues HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    ] {
        assert_eq!(statuses(&say(&gateway, request.as_bytes()).await), [status], "{request}");
    }
}

#[tokio::test]
async fn odd_requests_are_answered_and_hurt_nobody() {
    let gateway = start().await;
    let head = "HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (line, expected) in [
        ("OPTIONS *", 204),
        ("OPTIONS /v1/tasks", 204),
        ("OPTIONS /nowhere", 404),
        ("TRACE /v1/queues", 405),
        ("PROPFIND /v1/queues", 405),
        ("get /v1/queues", 405),
        ("GET //v1/queues", 404),
        ("GET /v1/../v1/queues", 404),
        ("GET /v1/queues/%00", 400),
        ("GET /v1/queues/%2e%2e", 400),
        ("GET /v1/queues/%", 400),
        ("GET /v1/tasks?%zz=1", 400),
        ("GET /v1/tasks?state=%ff", 400),
        ("HEAD /v1/queues", 200),
        ("HEAD /nowhere", 404),
    ] {
        let answer = say(&gateway, format!("{line} {head}").as_bytes()).await;
        assert_eq!(statuses(&answer), [expected], "{line}: {answer}");
        assert!(answer.contains("x-request-id: "), "{line}: {answer}");
        if line.starts_with("HEAD") {
            assert!(answer.ends_with("\r\n\r\n"), "no body: {answer}");
        }
    }
    // What is no HTTP at all.
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[..], b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
    {
        let answer = say(&gateway, garbage).await;
        assert!(matches!(statuses(&answer)[..], [] | [400 | 505]), "{answer}");
    }
    let answer = say(&gateway, format!("CONNECT evil.example:443 {head}").as_bytes()).await;
    assert!(statuses(&answer).iter().all(|status| (400..500).contains(status)), "{answer}");
    // An answer to a request with a body that nobody reads.
    let ignored = "GET /v1/queues HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(statuses(&say(&gateway, ignored.as_bytes()).await), [200]);
    // Several at once on one connection are answered in order.
    let two = format!("GET /v1/queues {head}GET /nowhere {head}");
    assert_eq!(statuses(&say(&gateway, two.as_bytes()).await), [200, 404]);
}
