//! A network between a client and a server that a test can cut, slow down and heal.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

use connection::Line;

mod connection;

/// Forwards TCP connections from a port on 127.0.0.1 to a target.
///
/// Cut, it is as silent as a network that is down: nothing arrives and nothing is refused, not even when one side
/// closes its end. What is sent meanwhile is held (at most a megabyte for each connection; after that the sender has to
/// wait) and flows on when it is healed. One thing differs from a network that is down: a new connection seems to come
/// about, and then stays silent. Dropping the proxy closes all.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    /// From the client to the server.
    up: watch::Sender<Line>,
    /// From the server to the client.
    down: watch::Sender<Line>,
    resets: watch::Sender<u64>,
    target: watch::Sender<String>,
    acceptor: JoinHandle<()>,
}

impl Proxy {
    /// A proxy to `target`, a host and port. It is looked up for each connection, and need not be there yet.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(target: impl Into<String>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for the proxy")?;
        let address = listener.local_addr()?;
        let (up, up_line) = watch::channel(Line::default());
        let (down, down_line) = watch::channel(Line::default());
        let (resets, reset) = watch::channel(0);
        let (target, targets) = watch::channel(target.into());
        let acceptor = tokio::spawn(connection::accept(listener, targets, up_line, down_line, reset));
        Ok(Self { address, up, down, resets, target, acceptor })
    }

    /// A proxy to the server of a postgres, redis, nats or http url.
    ///
    /// # Errors
    /// When the url names no host, or no port is free.
    pub async fn to_url(url: &str) -> Result<Self> {
        let url = Url::parse(url).context("not a url")?;
        let default_port = match url.scheme() {
            "postgres" | "postgresql" => Some(5432),
            "redis" | "rediss" => Some(6379),
            "nats" | "tls" => Some(4222),
            _ => url.port_or_known_default(),
        };
        let host = url.host_str().context("the url names no host")?;
        let port = url.port().or(default_port).context("the url names no port")?;
        Self::start(format!("{host}:{port}")).await
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The url with the proxy in place of host and port.
    ///
    /// # Errors
    /// When it is not a url with a host.
    pub fn url_through(&self, url: &str) -> Result<String> {
        let mut url = Url::parse(url).context("not a url")?;
        url.set_host(Some(&self.address.ip().to_string())).context("the url takes no host")?;
        url.set_port(Some(self.address.port())).map_err(|()| anyhow!("the url takes no port"))?;
        Ok(url.into())
    }

    /// From now on nothing of the client's reaches the server.
    pub fn cut_up(&self) {
        self.up.send_modify(|line| line.cut = true);
    }

    /// From now on nothing of the server's reaches the client.
    pub fn cut_down(&self) {
        self.down.send_modify(|line| line.cut = true);
    }

    /// From now on nothing passes.
    pub fn cut(&self) {
        self.cut_up();
        self.cut_down();
    }

    /// Everything passes again, what was held included.
    pub fn heal(&self) {
        for line in [&self.up, &self.down] {
            line.send_modify(|line| line.cut = false);
        }
    }

    /// Resets every connection, as a firewall that forgot about them does; what was held is lost. What was cut stays
    /// cut for new ones.
    pub fn reset(&self) {
        self.resets.send_modify(|resets| *resets += 1);
    }

    /// From now on new connections go to another target, as when a name comes to stand for another server.
    pub fn turn_to(&self, target: impl Into<String>) {
        self.target.send_replace(target.into());
    }

    /// From now on each byte takes this much longer, in both directions.
    pub fn delay(&self, delay: Duration) {
        for line in [&self.up, &self.down] {
            line.send_modify(|line| line.delay = delay);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}
