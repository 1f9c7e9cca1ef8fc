//! What the gateway is told from outside.

mod rates;

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use http::{HeaderValue, Uri, uri::Authority};
use taskyard_runtime::{
    config::{Problems, Secret},
    http_server,
};

pub use rates::{RateArgs, Rates};

use crate::{edge::HEADER_BYTES_MAX, read::REQUEST_TIMEOUT};

/// How long answers are kept, unless it is configured.
const CACHE_LIFE: Duration = Duration::from_secs(300);

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
    /// What web browsers are told.
    #[command(flatten)]
    pub browser: BrowserArgs,
    /// How often callers may call.
    #[command(flatten)]
    pub rates: RateArgs,
    /// How long answers are kept.
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// How long answers are kept.
#[derive(Args, Clone, Copy, Debug)]
pub struct CacheArgs {
    /// Seconds for which an answer is kept in Redis, at most: until what it is about changes; 0: none is kept
    #[arg(long, env = "TASKYARD_GATEWAY_CACHE_S", default_value_t = CACHE_LIFE.as_secs(), value_name = "SECONDS")]
    pub cache_s: u64,
}

/// What web browsers are told.
#[derive(Args, Clone, Debug, Default)]
pub struct BrowserArgs {
    /// Origins whose web pages may call this server, such as `https://console.example.com`; none if not given
    #[arg(long = "cors-origin", env = "TASKYARD_GATEWAY_CORS_ORIGINS", value_delimiter = ',', value_name = "ORIGIN")]
    pub cors_origins: Vec<String>,
    /// Seconds for which browsers shall call this server over TLS only; 0: nothing is said. For a server behind TLS
    #[arg(long, env = "TASKYARD_GATEWAY_HSTS_MAX_AGE_S", default_value_t = 0, value_name = "SECONDS")]
    pub hsts_max_age_s: u32,
}

impl BrowserArgs {
    /// The origins, in the one way in which browsers write them.
    fn origins(&self, problems: &mut Problems) -> Vec<String> {
        let mut origins = Vec::new();
        for given in self.cors_origins.iter().map(|origin| origin.trim()).filter(|origin| !origin.is_empty()) {
            match given.parse::<Uri>() {
                Ok(uri) if is_origin(given, &uri) => origins.push(given.to_owned()),
                _ => problems.add(format!(
                    "--cors-origin `{given}` must be scheme and host as a browser writes them, such as \
                     https://console.example.com or http://localhost:3000, without a path"
                )),
            }
        }
        origins
    }

    fn hsts(&self) -> Option<HeaderValue> {
        let text = format!("max-age={}; includeSubDomains", self.hsts_max_age_s);
        // Digits and letters always are a header's value.
        (self.hsts_max_age_s > 0).then(|| HeaderValue::try_from(text).ok()).flatten()
    }
}

/// Lower case, no path, no port that goes without saying: anything else would never be equal to what a browser sends.
fn is_origin(text: &str, uri: &Uri) -> bool {
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
    let port_is_needless = matches!((scheme, authority.port_u16()), ("http", Some(80)) | ("https", Some(443)));
    matches!(scheme, "http" | "https")
        && !authority.as_str().contains('@')
        && !port_is_needless
        && text == format!("{scheme}://{authority}").to_ascii_lowercase()
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
        let cors_origins = self.browser.origins(problems);
        let hsts = self.browser.hsts();
        let rates = self.rates.check(problems);
        let cache_life = Duration::from_secs(self.cache.cache_s);
        Some(Config {
            hosts,
            redis,
            cors_origins,
            hsts,
            rates,
            cache_life,
            ..Config::new(self.listen, self.tasks_urls)
        })
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
    /// Origins whose pages may call it.
    pub cors_origins: Vec<String>,
    /// What it says of TLS, if anything.
    pub hsts: Option<HeaderValue>,
    /// How often callers may call; only with Redis.
    pub rates: Rates,
    /// How long answers are kept in Redis, at most; zero: none are.
    pub cache_life: Duration,
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
            cors_origins: Vec::new(),
            hsts: None,
            rates: Rates::default(),
            cache_life: CACHE_LIFE,
            http: http_server::Options {
                // What the server itself refuses is refused without a reason.
                header_bytes_max: 2 * HEADER_BYTES_MAX as u32,
                ..http_server::Options::default()
            },
            request_timeout: REQUEST_TIMEOUT,
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
    fn origins_are_written_as_browsers_write_them() {
        let check = |origin: &str| check(&["--cors-origin", origin]).map(|it| it.cors_origins);
        assert_eq!(
            check("https://a.example,http://localhost:3000").unwrap(),
            ["https://a.example", "http://localhost:3000"]
        );
        for bad in [
            "*",
            "null",
            "a.example",
            "https://a.example/",
            "https://A.example",
            "ftp://a",
            "https://a:443",
            "https://u@a",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn browsers_hear_of_tls_only_where_it_is_configured() {
        let hsts = |flags: &[&str]| check(flags).unwrap().hsts;
        assert_eq!(hsts(&[]), None);
        assert_eq!(hsts(&["--hsts-max-age-s", "60"]).unwrap(), "max-age=60; includeSubDomains");
    }

    #[test]
    fn every_mistake_is_named() {
        let mut wrong = vec!["--listen", "0.0.0.0:80", "--host", "http://a,b:1,c", "--tasks-url", ""];
        wrong.extend(["--cors-origin", "https://x/", "--trusted-proxy", "10.0.0.1,fd00::/8,10.0.0/8"]);
        let error = check(&wrong).unwrap_err();
        assert!(error.starts_with("the configuration has 5 mistakes"), "{error}");
        for part in ["`http://a`", "`b:1`", "--tasks-url", "`https://x/`", "`10.0.0/8`"] {
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
