//! An HTTP server that slow or silent clients cannot hold: HTTP/1.1 and HTTP/2 (by prior knowledge) on one listener.
//!
//! | what a client does                    | what ends it                                   |
//! |---------------------------------------|------------------------------------------------|
//! | connects and says nothing             | [`Options::header_timeout`]                    |
//! | sends its headers byte by byte        | the same                                       |
//! | leaves an HTTP/1.1 connection idle    | the same                                       |
//! | is gone (HTTP/2)                      | pings, unanswered for [`Options::ping_timeout`]|
//! | does not read what it asked for       | [`Options::write_timeout`]                     |
//! | opens connections without end         | [`Options::connections_max`]                   |
//!
//! A body's time and size, and a handler's time, are the router's business.

mod detect;
mod stall;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ServerConfig, pki_types::CertificateDer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use detect::speaks_http2;
use stall::WriteTimeout;

/// How clients are bounded.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Open connections; further ones are closed at once.
    pub connections_max: usize,
    /// How long the headers of a request may take, and how long an HTTP/1.1 connection may be idle.
    pub header_timeout: Duration,
    /// Bytes of the headers of one request.
    pub header_bytes_max: u32,
    /// How long a write may wait for the client to read.
    pub write_timeout: Duration,
    /// How often an HTTP/2 client is pinged.
    pub ping_interval: Duration,
    /// How long it may take to answer.
    pub ping_timeout: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub streams_max: u32,
    /// How long requests may go on after the order to stop.
    pub drain: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            header_timeout: Duration::from_secs(10),
            header_bytes_max: 32 * 1024,
            write_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
            streams_max: 1_000,
            drain: Duration::from_secs(10),
        }
    }
}

/// How TLS is spoken, from the next connection on.
pub type Tls = watch::Receiver<Arc<ServerConfig>>;

/// The certificate that a client showed; the configuration for TLS has verified it.
#[derive(Clone, Debug)]
pub struct ClientCertificate(pub CertificateDer<'static>);

/// Serves until `shutdown`, then lets running requests end, at most [`Options::drain`] long. A request carries the
/// client's address as `ConnectInfo<SocketAddr>`.
pub async fn serve(listener: TcpListener, router: Router, options: Options, shutdown: CancellationToken) {
    serve_all(listener, router, options, None, shutdown).await;
}

/// The same over TLS. A request carries the [`ClientCertificate`] if there is one.
pub async fn serve_tls(listener: TcpListener, router: Router, options: Options, tls: Tls, shutdown: CancellationToken) {
    serve_all(listener, router, options, Some(tls), shutdown).await;
}

async fn serve_all(
    listener: TcpListener,
    router: Router,
    options: Options,
    tls: Option<Tls>,
    shutdown: CancellationToken,
) {
    let connections = TaskTracker::new();
    // Cuts what has not ended by itself.
    let cut = CancellationToken::new();
    let free = Arc::new(Semaphore::new(options.connections_max));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the client went away again: neither is a reason to stop.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(permit) = free.clone().try_acquire_owned() else {
            tracing::warn!(%client, "too many connections; this one is closed");
            continue;
        };
        let tls = tls.as_ref().map(|tls| TlsAcceptor::from(tls.borrow().clone()));
        let (router, shutdown, cut) = (router.clone(), shutdown.clone(), cut.clone());
        connections.spawn(async move {
            let ended = tokio::select! {
                ended = serve_connection(stream, client, tls, router, options, &shutdown) => ended,
                () = cut.cancelled() => Ok(()),
            };
            if let Err(error) = ended {
                tracing::debug!(%client, %error, "a connection broke");
            }
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    if timeout(options.drain, connections.wait()).await.is_err() {
        tracing::info!(connections = connections.len(), "cut after {:?} of draining", options.drain);
        cut.cancel();
        connections.wait().await;
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn serve_connection(
    stream: TcpStream,
    client: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    options: Options,
    shutdown: &CancellationToken,
) -> Result<(), Failure> {
    // Answers are small; they shall not wait for more.
    stream.set_nodelay(true)?;
    let deadline = Instant::now() + options.header_timeout;
    let Some(tls) = tls else {
        let http2 = tokio::select! {
            http2 = speaks_http2(&stream) => http2?,
            () = sleep_until(deadline) => return Err("the client said nothing".into()),
            () = shutdown.cancelled() => return Ok(()),
        };
        let who = Client { address: client, certificate: None };
        return serve_http(stream, who, http2, router, options, shutdown).await;
    };
    let stream = tokio::select! {
        stream = tls.accept(stream) => stream?,
        () = sleep_until(deadline) => return Err("the client did not end the handshake".into()),
        () = shutdown.cancelled() => return Ok(()),
    };
    let (_, session) = stream.get_ref();
    let http2 = session.alpn_protocol() == Some(b"h2");
    let certificate = session.peer_certificates().and_then(<[_]>::first).cloned();
    let certificate = certificate.map(|certificate| ClientCertificate(certificate.into_owned()));
    serve_http(stream, Client { address: client, certificate }, http2, router, options, shutdown).await
}

/// Who is at the other end of a connection.
struct Client {
    address: SocketAddr,
    certificate: Option<ClientCertificate>,
}

async fn serve_http<S>(
    stream: S,
    client: Client,
    http2: bool,
    router: Router,
    options: Options,
    shutdown: &CancellationToken,
) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(client.address));
        if let Some(certificate) = &client.certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        router.clone().oneshot(request.map(Body::new))
    });
    let io = TokioIo::new(WriteTimeout::new(stream, options.write_timeout));
    if http2 {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(options.ping_interval)
            .keep_alive_timeout(options.ping_timeout)
            .max_concurrent_streams(options.streams_max)
            .max_header_list_size(options.header_bytes_max)
            .max_send_buf_size(256 * 1024)
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(1024 * 1024)
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return Ok(ended?),
            () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await?;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(options.header_timeout)
            .max_buf_size(options.header_bytes_max as usize)
            .serve_connection(io, service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return Ok(ended?),
            () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
