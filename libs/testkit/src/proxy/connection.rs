//! What the proxy does with each connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

const CHUNK_BYTES: usize = 16 * 1024;

/// How many chunks one direction of a connection holds at most.
const CHUNKS_HELD_MAX: usize = 64;

/// The state of one direction.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Line {
    pub(super) cut: bool,
    pub(super) delay: Duration,
}

/// What goes through a direction.
#[derive(Debug)]
enum Chunk {
    Bytes(Vec<u8>),
    /// The sender sends no more.
    End,
    Reset,
}

/// The sender has reset the connection, and the receiver may know it.
#[derive(Debug)]
struct WasReset;

/// Takes connections until it is aborted, and they with it.
pub(super) async fn accept(
    listener: TcpListener,
    target: watch::Receiver<String>,
    up: watch::Receiver<Line>,
    down: watch::Receiver<Line>,
    resets: watch::Receiver<u64>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    let mut resets = resets.clone();
                    resets.mark_unchanged();
                    connections.spawn(connect(client, target.borrow().clone(), up.clone(), down.clone(), resets));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(
    mut client: TcpStream,
    target: String,
    mut up: watch::Receiver<Line>,
    mut down: watch::Receiver<Line>,
    mut resets: watch::Receiver<u64>,
) {
    let server = async {
        // To open a connection takes a packet in either direction.
        until_healed(&mut up).await;
        until_healed(&mut down).await;
        let server = TcpStream::connect(&target).await;
        // A refusal also takes one, and the line may have been cut meanwhile.
        until_healed(&mut down).await;
        server
    };
    let server = tokio::select! {
        server = server => server,
        _ = resets.changed() => return reset(&client),
    };
    let Ok(mut server) = server else { return reset(&client) };
    // Delays are ours alone.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (client_out, client_in) = client.split();
    let (server_out, server_in) = server.split();
    let both = async { tokio::try_join!(forward(client_out, server_in, up), forward(server_out, client_in, down)) };
    let was_reset = tokio::select! {
        ended = both => ended.is_err(),
        _ = resets.changed() => true,
    };
    if was_reset {
        reset(&client);
        reset(&server);
    }
}

/// The connection ends with a reset when it is dropped next.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

async fn forward(from: ReadHalf<'_>, to: WriteHalf<'_>, line: watch::Receiver<Line>) -> Result<(), WasReset> {
    let (queue, queued) = mpsc::channel(CHUNKS_HELD_MAX);
    let ((), written) = tokio::join!(read(from, queue, line.clone()), write(to, queued, line));
    written
}

/// Queues each chunk with the time at which it may leave.
async fn read(mut from: ReadHalf<'_>, queue: mpsc::Sender<(Instant, Chunk)>, line: watch::Receiver<Line>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let length = tokio::select! {
            length = from.read(&mut buffer) => length,
            // The other end takes no more.
            () = queue.closed() => return,
        };
        let chunk = match length {
            Ok(0) => Chunk::End,
            Ok(length) => Chunk::Bytes(buffer[..length].to_vec()),
            Err(_) => Chunk::Reset,
        };
        let is_last = !matches!(chunk, Chunk::Bytes(_));
        let due = Instant::now() + line.borrow().delay;
        if queue.send((due, chunk)).await.is_err() || is_last {
            return;
        }
    }
}

async fn write(
    mut to: WriteHalf<'_>,
    mut queue: mpsc::Receiver<(Instant, Chunk)>,
    mut line: watch::Receiver<Line>,
) -> Result<(), WasReset> {
    while let Some((due, chunk)) = queue.recv().await {
        sleep_until(due).await;
        until_healed(&mut line).await;
        let written = match chunk {
            Chunk::Bytes(bytes) => to.write_all(&bytes).await,
            Chunk::End => to.shutdown().await,
            Chunk::Reset => return Err(WasReset),
        };
        if written.is_err() {
            // What ended the connection comes through the other direction.
            break;
        }
    }
    Ok(())
}

async fn until_healed(line: &mut watch::Receiver<Line>) {
    // An error means that the proxy is dropped, and this with it.
    let _ = line.wait_for(|line| !line.cut).await;
}
