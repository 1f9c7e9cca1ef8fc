//! Ports, bound before anything starts.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use taskyard_runtime::config::Problems;
use tokio::net::TcpListener;

/// Binds a port. A failure is kept with the flag that chooses another.
pub async fn bind(address: SocketAddr, flag: &str, problems: &mut Problems) -> Option<TcpListener> {
    let bound = TcpListener::bind(address).await;
    let bound = bound.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => format!(
            "port {} is taken: something listens on {address} already; {flag} {}:PORT chooses another",
            address.port(),
            host(address)
        ),
        _ => format!("cannot listen on {address}: {error}; {flag} ADDRESS chooses another"),
    });
    problems.take(bound)
}

/// The address at which a listener is reached from this machine.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn host(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_port_that_is_taken_is_named() {
        let mut problems = Problems::default();
        let first = bind("127.0.0.1:0".parse().unwrap(), "--listen", &mut problems).await.unwrap();
        let taken = first.local_addr().unwrap();
        assert!(bind(taken, "--listen", &mut problems).await.is_none());
        assert!(bind(taken, "--ops-listen", &mut problems).await.is_none());
        let error = problems.finish(Some(())).unwrap_err().to_string();
        assert!(error.starts_with("the configuration has 2 mistakes"), "{error}");
        assert!(error.contains(&format!("port {} is taken", taken.port())), "{error}");
        assert!(error.contains("; --ops-listen 127.0.0.1:PORT chooses another"), "{error}");
    }

    #[test]
    fn every_listener_is_reached() {
        for (listens, reached) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")] {
            assert_eq!(reachable(listens.parse().unwrap()).to_string(), reached);
        }
    }
}
