//! The front door: reads with and without kept answers, what it costs over a handler that does nothing, and creates.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    fleet::{Fleet, OurProcess, Servers},
    load,
};

/// Connections of readers, each with one request at a time.
const READERS: usize = 64;
/// Connections of those who create.
const WRITERS: usize = 256;

/// What was measured, as requests a second.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    bare: f64,
    kept: f64,
    kept_and_counted: f64,
    source: f64,
    engine: f64,
    posts: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bare, kept, kept_and_counted, source, engine, posts } = *self;
        let line = |f: &mut fmt::Formatter<'_>, what: &str, rate: f64, than: &str| {
            writeln!(f, "{what:<34} {rate:>9.0} /s   {than}")
        };
        line(f, "a bare axum handler", bare, "1.0")?;
        line(f, "GET of a task, not kept", source, &format!("{:.2} times the bare one's time", bare / source))?;
        line(
            f,
            "GET of a task, kept",
            kept,
            &format!("{:.2} of not kept; {:.2} times the bare one's time (no limiter)", kept / source, bare / kept),
        )?;
        line(
            f,
            "the same with the limiter",
            kept_and_counted,
            &format!("{:.2} of not kept; {:.2} times", kept_and_counted / source, bare / kept_and_counted),
        )?;
        line(f, "single creates, gRPC at a pod", engine, "1.0")?;
        write!(f, "{:<34} {posts:>9.0} /s   {:.2}", "POST of single tasks, 256 callers", posts / engine)
    }
}

/// Measures all of it, each for so long.
pub async fn run(servers: &Servers, time: Duration, tasks: usize) -> Result<Report> {
    let fleet = Fleet::start(servers, 2, 0).await?;
    let off = [("TASKYARD_GATEWAY_READS_PER_S", "0"), ("TASKYARD_GATEWAY_WRITES_PER_S", "0")];
    let high = [("TASKYARD_GATEWAY_READS_PER_S", "10000000"), ("TASKYARD_GATEWAY_WRITES_PER_S", "10000000")];
    let kept = fleet.gateway(servers, &off).await?;
    let counted = fleet.gateway(servers, &high).await?;
    let source = fleet.gateway(servers, &[off[0], off[1], ("TASKYARD_GATEWAY_CACHE_S", "0")]).await?;

    let body = r#"{"kind":"manual","title":"A task that is read often","payload":{"from":"bench"}}"#;
    let created = exchange(kept.0, &request("POST", "/v1/tasks", fleet.key(), body)).await?;
    let id = created.split_once("\"id\":\"").and_then(|(_, rest)| rest.split_once('"')).context(created.clone())?.0;
    let read = request("GET", &format!("/v1/tasks/{id}"), fleet.key(), "");
    let answer = exchange(kept.0, &read).await?;
    let (bare, stop) = serve_bare(answer).await?;

    let mut report = Report {
        bare: reads(bare, &read, time).await?,
        source: reads(source.0, &read, time).await?,
        kept: reads(kept.0, &read, time).await?,
        kept_and_counted: reads(counted.0, &read, time).await?,
        engine: 0.0,
        posts: 0.0,
    };
    stop.abort();
    let began = Instant::now();
    load::create(&fleet, tasks, 1).await?;
    report.engine = tasks as f64 / began.elapsed().as_secs_f64();
    let body = r#"{"kind":"noop","title":"A task that does nothing","payload":{"from":"bench"}}"#;
    report.posts = rate(kept.0, &request("POST", "/v1/tasks", fleet.key(), body), WRITERS, time).await?;
    for (_, mut gateway) in [kept, counted, source] {
        gateway.stop().await?;
    }
    fleet.stop().await?;
    Ok(report)
}

/// A gateway's address and process.
pub type Gateway = (SocketAddr, OurProcess);

/// What answers with the same bytes and does nothing else.
async fn serve_bare(answer: String) -> Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new().route(
        "/v1/tasks/{id}",
        get(move || std::future::ready(([(CONTENT_TYPE, "application/json")], answer.clone()))),
    );
    let server = tokio::spawn(async move {
        let _ = axum::serve(listener, app).await;
    });
    Ok((address, server))
}

async fn reads(address: SocketAddr, request: &str, time: Duration) -> Result<f64> {
    rate(address, request, READERS, time / 10).await?;
    rate(address, request, READERS, time).await
}

/// The same request on so many connections, as often as it is answered.
async fn rate(address: SocketAddr, request: &str, callers: usize, time: Duration) -> Result<f64> {
    let request: Arc<str> = request.into();
    let (began, end) = (Instant::now(), Instant::now() + time);
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let request = request.clone();
        running.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut answered = 0;
            while Instant::now() < end {
                connection.exchange(&request).await?;
                answered += 1;
            }
            anyhow::Ok(answered)
        });
    }
    let mut answered = 0;
    while let Some(ended) = running.join_next().await {
        answered += ended??;
    }
    Ok(f64::from(answered) / began.elapsed().as_secs_f64())
}

fn request(method: &str, path: &str, key: &str, body: &str) -> String {
    let content = match body.len() {
        0 => String::new(),
        length => format!("content-type: application/json\r\ncontent-length: {length}\r\n"),
    };
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n{content}\r\n{body}")
}

async fn exchange(address: SocketAddr, request: &str) -> Result<String> {
    let mut connection = Connection::open(address).await?;
    connection.exchange(request).await?;
    Ok(String::from_utf8(connection.body.clone())?)
}

/// As little of a client as will do, so that the server is measured.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    body: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new(), body: Vec::new() })
    }

    async fn exchange(&mut self, request: &str) -> Result<()> {
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let (head, length) = loop {
            if let Some(found) = head_of(&self.buffer)? {
                break found;
            }
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the connection ended");
        };
        while self.buffer.len() < head + length {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the connection ended");
        }
        self.body.clear();
        self.body.extend_from_slice(&self.buffer[head..head + length]);
        Ok(())
    }
}

/// Where the body begins and how long it is, once the head is there.
fn head_of(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = str::from_utf8(&bytes[..end])?;
    if !head.starts_with("HTTP/1.1 20") {
        bail!("answered with {head}");
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Ok(Some((end + 4, length.context("no content-length")?)))
}
