//! One connection to one pod. tonic's channel would connect again by itself, request after request, each of which
//! waits for its own attempt; ours fails at once when it is broken, and whoever holds it makes a new one.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use taskyard_core::Result;
use tokio::net::TcpStream;
use tonic::{
    Status,
    transport::{Channel, ClientTlsConfig},
};

use crate::{endpoint::Endpoint, error};

/// A pod that does not answer within this time is not there.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

// A pod that vanished without a word is noticed after both together.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
// The larger, the fewer round trips a large answer takes; a reader that does not read holds this much.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Checks what can be checked before a connection is needed.
///
/// # Errors
/// If TLS is asked for and this machine has no root certificates.
pub(super) fn check(endpoint: &Endpoint) -> Result<()> {
    builder(endpoint).map(drop)
}

/// Connects to the pod at `address`.
pub(super) async fn connect(endpoint: &Endpoint, address: SocketAddr) -> Result<Channel, Status> {
    let builder = builder(endpoint).map_err(|error| Status::unavailable(error.to_string()))?;
    let used = AtomicBool::new(false);
    let connector = tower::service_fn(move |_| {
        let again = used.swap(true, Ordering::Relaxed);
        async move {
            if again {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "the pod has closed the connection"));
            }
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(stream))
        }
    });
    match tokio::time::timeout(CONNECT_TIMEOUT, builder.connect_with_connector(connector)).await {
        Ok(connected) => connected.map_err(error::transport_status),
        Err(_) => Err(Status::unavailable(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))),
    }
}

fn builder(endpoint: &Endpoint) -> Result<tonic::transport::Endpoint> {
    let builder = tonic::transport::Endpoint::from(endpoint.uri.clone())
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let wrong = |error: tonic::transport::Error| {
        taskyard_core::Error::invalid("url", format!("`{}` cannot be used: {error:?}", endpoint.uri))
    };
    let builder = builder.user_agent(concat!("taskyard-client/", env!("CARGO_PKG_VERSION"))).map_err(wrong)?;
    if endpoint.tls {
        let tls = ClientTlsConfig::new().with_native_roots().domain_name(endpoint.host.clone());
        return builder.tls_config(tls).map_err(wrong);
    }
    Ok(builder)
}
