//! Whose request it is, as far as an address can tell.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of the connection; if that is a trusted proxy, whom it names; and so on while these are trusted too.
pub(crate) fn client_address(connection: &Extensions, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let ConnectInfo(peer) = connection.get::<ConnectInfo<SocketAddr>>()?;
    Some(first_stranger(peer.ip().to_canonical(), headers, trusted))
}

fn first_stranger(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let lines = headers.get_all(FORWARDED_FOR).into_iter().map(|line| line.to_str().unwrap_or_default());
    let named: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    let mut address = peer;
    // Each proxy adds at the end; what stands before the first stranger's own is whatever that one wrote.
    for name in named.into_iter().rev() {
        match parse(name) {
            Some(next) if is_trusted(address) => address = next,
            _ => break,
        }
    }
    address
}

/// With or without a port.
fn parse(name: &str) -> Option<IpAddr> {
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let address = name.parse().or_else(|_| name.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_says_whose_request_it_is() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let client = |peer: &str, forwarded: &[&str]| {
            let headers = forwarded.iter().map(|line| (FORWARDED_FOR, line.parse().unwrap())).collect();
            first_stranger(peer.parse().unwrap(), &headers, &trusted).to_string()
        };
        assert_eq!(client("198.51.100.1", &["203.0.113.9"]), "198.51.100.1", "a stranger's word");
        assert_eq!(client("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["1.2.3.4, 203.0.113.9"]), "203.0.113.9", "what the client itself wrote");
        assert_eq!(client("10.0.0.1", &["1.2.3.4, 203.0.113.9", "10.9.9.9"]), "203.0.113.9", "two proxies");
        assert_eq!(client("fd00::1", &["[2001:db8::7]:443"]), "2001:db8::7");
        assert_eq!(client("fd00::1", &["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(client("10.0.0.1", &["203.0.113.9:80"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["203.0.113.9, unknown"]), "10.0.0.1", "nothing behind what cannot be read");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.0.0.2"]), "10.0.0.2", "all of them are ours");
    }
}
