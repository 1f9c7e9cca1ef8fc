//! What the gateway is told from outside.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use http::uri::Authority;
use taskyard_runtime::{
    config::{Problems, Secret},
    http_server,
};

/// Flags of the gateway.
#[derive(Args, Clone, Debug)]
pub struct GatewayArgs {
    /// Where REST and gRPC are served
    #[arg(
        id = "gateway_listen",
        long = "listen",
        env = "TASKYARD_GATEWAY_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// The tasks service; several with commas between
    #[arg(
        long = "tasks-url",
        env = "TASKYARD_TASKS_URL",
        default_value = "http://127.0.0.1:50051",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub tasks_urls: Vec<String>,
    /// Names by which clients may call this server, `*` for any; if not given: on loopback its usual names, else any
    #[arg(long = "host", env = "TASKYARD_GATEWAY_HOSTS", value_delimiter = ',', value_name = "HOST")]
    pub hosts: Vec<String>,
}

impl GatewayArgs {
    /// The configuration, checked.
    pub fn check(self, redis: Option<RedisAt>, problems: &mut Problems) -> Option<Config> {
        let mut names = Vec::new();
        for host in self.hosts.iter().map(|host| host.trim()).filter(|host| !host.is_empty()) {
            match Authority::try_from(host) {
                _ if host == "*" => names.push(host.to_owned()),
                Ok(authority) if authority.port().is_none() && !host.contains('@') => {
                    names.push(host.to_ascii_lowercase());
                }
                _ => problems.add(format!("--host `{host}` must be a name or address without scheme, path and port")),
            }
        }
        if self.tasks_urls.iter().all(|url| url.trim().is_empty()) {
            problems.add("--tasks-url (TASKYARD_TASKS_URL) is empty; it must be a URL such as http://tasks:50051");
        }
        let hosts = if names.is_empty() { Hosts::for_address(self.listen) } else { Hosts::these(names) };
        Some(Config { hosts, redis, ..Config::new(self.listen, self.tasks_urls) })
    }
}

/// Redis, and what all names in it begin with.
#[derive(Clone, Debug)]
pub struct RedisAt {
    /// Where it is.
    pub url: Secret,
    /// What all names begin with.
    pub prefix: String,
}

/// What the gateway runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where the tasks service is.
    pub tasks_urls: Vec<String>,
    /// Names by which it may be called.
    pub hosts: Hosts,
    /// Where it hears of changes at once; without it, it looks every few seconds.
    pub redis: Option<RedisAt>,
    /// How connections are bounded.
    pub http: http_server::Options,
    /// How long a request may take if its client says nothing, and at most.
    pub request_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// Bytes of request bodies held at once.
    pub bodies_bytes_max: usize,
}

impl Config {
    /// The defaults for an address.
    #[must_use]
    pub fn new(listen: SocketAddr, tasks_urls: Vec<String>) -> Self {
        Self {
            listen,
            tasks_urls,
            hosts: Hosts::for_address(listen),
            redis: None,
            http: http_server::Options::default(),
            request_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(15),
            bodies_bytes_max: 256 << 20,
        }
    }
}

/// Names by which a server may be called. A web page that had its own name pointed at this machine (DNS rebinding)
/// calls it by that name, and is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts(Option<Vec<String>>);

impl Hosts {
    /// Any name.
    #[must_use]
    pub const fn any() -> Self {
        Self(None)
    }

    /// These names; any if one is `*`.
    #[must_use]
    pub fn these(names: Vec<String>) -> Self {
        if names.iter().any(|name| name == "*") { Self::any() } else { Self(Some(names)) }
    }

    /// Loopback's names on loopback, else any.
    #[must_use]
    pub fn for_address(address: SocketAddr) -> Self {
        if address.ip().to_canonical().is_loopback() {
            Self::these(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec())
        } else {
            Self::any()
        }
    }

    /// Whether a request that names `host` (with or without a port) is taken.
    #[must_use]
    pub fn take(&self, host: Option<&str>) -> bool {
        let Some(names) = &self.0 else { return true };
        let authority = host.and_then(|host| Authority::try_from(host).ok());
        authority.is_some_and(|authority| names.iter().any(|name| name.eq_ignore_ascii_case(authority.host())))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        gateway: GatewayArgs,
    }

    fn check(flags: &[&str]) -> Result<Config, String> {
        let command = Command::try_parse_from([&["gateway"], flags].concat()).map_err(|error| error.to_string())?;
        let mut problems = Problems::default();
        let config = command.gateway.check(None, &mut problems);
        problems.finish(config).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_safe() {
        let config = check(&[]).unwrap();
        assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
        assert!(config.hosts.take(Some("localhost:8080")));
        assert!(!config.hosts.take(Some("evil.example")));
    }

    #[test]
    fn every_mistake_is_named() {
        let wrong = ["--listen", "0.0.0.0:80", "--host", "http://a,b:1,c", "--tasks-url", ""];
        let error = check(&wrong).unwrap_err();
        assert!(error.starts_with("the configuration has 3 mistakes"), "{error}");
        for part in ["`http://a`", "`b:1`", "--tasks-url"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn hosts() {
        let loopback = Hosts::for_address("[::1]:1".parse().unwrap());
        for good in ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "[::1]", "[::1]:8080"] {
            assert!(loopback.take(Some(good)), "{good}");
        }
        for bad in
            [None, Some(""), Some("localhost.evil.example"), Some("10.0.0.1"), Some("a b"), Some("localhost:x:y")]
        {
            assert!(!loopback.take(bad), "{bad:?}");
        }
        assert!(Hosts::for_address("0.0.0.0:1".parse().unwrap()).take(None));
        assert!(Hosts::these(vec!["a".into(), "*".into()]).take(Some("b")));
    }
}
