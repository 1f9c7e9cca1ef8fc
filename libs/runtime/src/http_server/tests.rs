use axum::routing::{get, post};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const QUICK: Options = Options {
    connections_max: 2,
    header_timeout: Duration::from_millis(200),
    header_bytes_max: 16 * 1024,
    write_timeout: Duration::from_millis(300),
    ping_interval: Duration::from_secs(20),
    ping_timeout: Duration::from_secs(10),
    streams_max: 10,
    drain: Duration::from_millis(300),
};

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

async fn start() -> Server {
    let router = Router::new()
        .route("/", get(async |ConnectInfo(client): ConnectInfo<SocketAddr>| format!("hello {}", client.ip())))
        .route("/slow", get(async || sleep(Duration::from_millis(100)).await))
        .route("/stuck", get(async || std::future::pending::<()>().await))
        .route("/large", get(async || vec![b'x'; 64 << 20]))
        .route("/echo", post(async |body: Bytes| body));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(serve(listener, router, QUICK, stop.clone()));
    Server { address, stop, running }
}

async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

async fn read(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let all = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.expect("it is cut in time");
    drop(all);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn silent_and_slow_clients_are_cut() {
    let server = start().await;
    for begin in [&b""[..], b"PRI * HT", b"GET / HTTP/1.1\r\nHost: x\r\n"] {
        let answer = read(send(server.address, begin).await).await;
        assert!(!answer.contains("hello"), "{answer}");
    }
    // After the cuts there is room again.
    let answer = read(send(server.address, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await).await;
    assert!(answer.ends_with("hello 127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let server = start().await;
    let stream = send(server.address, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    sleep(Duration::from_millis(1_500)).await;
    assert!(read(stream).await.len() < 64 << 20);
}

#[tokio::test]
async fn connections_are_bounded() {
    let server = start().await;
    let request = b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n";
    let _held = (send(server.address, request).await, send(server.address, request).await);
    let mut third = TcpStream::connect(server.address).await.unwrap();
    let mut buffer = [0; 1];
    let read = timeout(Duration::from_secs(2), third.read(&mut buffer)).await.expect("it is closed at once");
    assert!(matches!(read, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_stop_lets_requests_end_and_cuts_what_does_not() {
    let server = start().await;
    let slow = send(server.address, b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let stuck = send(server.address, b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n").await;
    sleep(Duration::from_millis(50)).await;
    server.stop.cancel();
    assert!(read(slow).await.starts_with("HTTP/1.1 200"));
    assert_eq!(read(stuck).await, "");
    timeout(Duration::from_secs(2), server.running).await.expect("it ends").unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}
