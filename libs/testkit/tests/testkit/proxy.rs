//! The proxy, between a client and a server that echoes.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::Result;
use taskyard_testkit::{Proxy, free_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

const A_WHILE: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(5);

/// A server that sends back what it gets and tells what that was; empty stands for the end.
async fn echo() -> Result<(u16, mpsc::UnboundedReceiver<Vec<u8>>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let (got, gets) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let got = got.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                while let Ok(length) = stream.read(&mut buffer).await {
                    let _ = got.send(buffer[..length].to_vec());
                    if length == 0 || stream.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    Ok((port, gets))
}

async fn proxied_echo() -> Result<(Proxy, TcpStream, mpsc::UnboundedReceiver<Vec<u8>>)> {
    let (port, gets) = echo().await?;
    let proxy = Proxy::start(format!("127.0.0.1:{port}")).await?;
    let client = TcpStream::connect(proxy.address()).await?;
    Ok((proxy, client, gets))
}

async fn answer(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut buffer = vec![0; 4096];
    let length = client.read(&mut buffer).await?;
    buffer.truncate(length);
    Ok(buffer)
}

fn was_reset(ended: std::io::Result<Vec<u8>>) -> bool {
    ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn bytes_and_the_end_of_them_pass() -> Result<()> {
    let (_proxy, mut client, mut gets) = proxied_echo().await?;
    client.write_all(b"one").await?;
    assert_eq!(answer(&mut client).await?, b"one");
    assert_eq!(gets.recv().await.as_deref(), Some(&b"one"[..]));
    client.shutdown().await?;
    assert_eq!(gets.recv().await.as_deref(), Some(&b""[..]));
    assert_eq!(answer(&mut client).await?, b"", "the server closed in turn");
    Ok(())
}

#[tokio::test]
async fn cut_up_nothing_reaches_the_server_until_healed() -> Result<()> {
    let (proxy, mut client, mut gets) = proxied_echo().await?;
    client.write_all(b"one").await?;
    answer(&mut client).await?;
    gets.recv().await;

    proxy.cut_up();
    client.write_all(b"two").await?;
    client.shutdown().await?;
    assert!(timeout(A_WHILE, gets.recv()).await.is_err(), "neither bytes nor the end");
    proxy.heal();
    assert_eq!(timeout(LONG, gets.recv()).await?.as_deref(), Some(&b"two"[..]));
    assert_eq!(timeout(LONG, gets.recv()).await?.as_deref(), Some(&b""[..]));
    assert_eq!(answer(&mut client).await?, b"two");
    Ok(())
}

#[tokio::test]
async fn cut_down_the_server_is_reached_and_its_answer_is_held() -> Result<()> {
    let (proxy, mut client, mut gets) = proxied_echo().await?;
    proxy.cut_down();
    client.write_all(b"one").await?;
    // A new connection takes both directions.
    assert!(timeout(A_WHILE, gets.recv()).await.is_err());
    proxy.heal();
    assert_eq!(timeout(LONG, answer(&mut client)).await??, b"one");
    gets.recv().await;

    proxy.cut_down();
    client.write_all(b"two").await?;
    assert_eq!(timeout(LONG, gets.recv()).await?.as_deref(), Some(&b"two"[..]));
    assert!(timeout(A_WHILE, answer(&mut client)).await.is_err());
    proxy.heal();
    assert_eq!(timeout(LONG, answer(&mut client)).await??, b"two");
    Ok(())
}

#[tokio::test]
async fn cut_the_end_of_the_server_goes_unnoticed() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = Proxy::start(listener.local_addr()?.to_string()).await?;
    let mut client = TcpStream::connect(proxy.address()).await?;
    let (server, _) = listener.accept().await?;
    proxy.cut();
    server.set_zero_linger()?;
    drop(server);
    assert!(timeout(A_WHILE, answer(&mut client)).await.is_err());
    client.write_all(b"into the void").await?;
    assert!(timeout(A_WHILE, answer(&mut client)).await.is_err());
    proxy.heal();
    assert!(was_reset(timeout(LONG, answer(&mut client)).await?));
    Ok(())
}

#[tokio::test]
async fn cut_a_sender_has_to_wait_in_the_end() -> Result<()> {
    let (proxy, mut client, _gets) = proxied_echo().await?;
    proxy.cut();
    let flood = vec![0; 64 * 1024 * 1024];
    assert!(timeout(A_WHILE * 5, client.write_all(&flood)).await.is_err(), "someone holds all of it");
    Ok(())
}

#[tokio::test]
async fn a_reset_ends_every_connection_at_once() -> Result<()> {
    let (proxy, mut client, mut gets) = proxied_echo().await?;
    client.write_all(b"one").await?;
    answer(&mut client).await?;
    gets.recv().await;
    proxy.cut();
    client.write_all(b"two").await?;
    let mut waiting = TcpStream::connect(proxy.address()).await?;
    tokio::time::sleep(A_WHILE).await;

    proxy.reset();
    assert!(was_reset(timeout(LONG, answer(&mut client)).await?));
    assert!(was_reset(timeout(LONG, answer(&mut waiting)).await?), "one that the cut kept from the server");
    assert!(timeout(A_WHILE, gets.recv()).await.is_err(), "what was held is lost");

    proxy.heal();
    let mut next = TcpStream::connect(proxy.address()).await?;
    next.write_all(b"three").await?;
    assert_eq!(timeout(LONG, answer(&mut next)).await??, b"three", "a connection after the reset");
    Ok(())
}

#[tokio::test]
async fn a_delay_is_one_of_time_and_not_of_rate() -> Result<()> {
    let (proxy, mut client, _gets) = proxied_echo().await?;
    proxy.delay(A_WHILE);
    let start = Instant::now();
    client.write_all(b"one").await?;
    answer(&mut client).await?;
    let there_and_back = start.elapsed();
    assert!(there_and_back >= A_WHILE * 2, "{there_and_back:?}");

    let start = Instant::now();
    let (mut back, mut out) = client.split();
    let bytes = vec![7; 500_000];
    let mut returned = vec![0; bytes.len()];
    let (sent, got) = tokio::join!(out.write_all(&bytes), back.read_exact(&mut returned));
    sent?;
    got?;
    // Thirty chunks one after the other would take twelve seconds.
    assert!(start.elapsed() < A_WHILE * 10, "{:?}", start.elapsed());
    assert_eq!(bytes, returned);
    Ok(())
}

#[tokio::test]
async fn without_a_server_a_client_is_reset_and_when_dropped_refused() -> Result<()> {
    let proxy = Proxy::start(format!("127.0.0.1:{}", free_port()?)).await?;
    let address = proxy.address();
    let mut client = TcpStream::connect(address).await?;
    assert!(timeout(LONG, answer(&mut client)).await?.is_err());
    drop(proxy);
    tokio::time::sleep(A_WHILE).await;
    assert!(TcpStream::connect(address).await.is_err());
    Ok(())
}

#[tokio::test]
async fn urls_lead_through_the_proxy() -> Result<()> {
    let proxy = Proxy::to_url("postgres://user:pa%20ss@elsewhere/db?sslmode=disable").await?;
    let here = proxy.address();
    for (url, through) in [
        (
            "postgres://user:pa%20ss@elsewhere/db?sslmode=disable",
            format!("postgres://user:pa%20ss@{here}/db?sslmode=disable"),
        ),
        ("redis://default:pass@127.0.0.1:6380/1", format!("redis://default:pass@{here}/1")),
        ("nats://user:pass@elsewhere:4222", format!("nats://user:pass@{here}")),
        ("nats://elsewhere", format!("nats://{here}")),
    ] {
        assert_eq!(proxy.url_through(url)?, through);
    }
    assert!(proxy.url_through("elsewhere:4222").is_err());
    assert!(Proxy::to_url("nonsense").await.is_err());
    Ok(())
}
