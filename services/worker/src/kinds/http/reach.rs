//! What `http` tasks may reach.

use std::{error, fmt, net::IpAddr};

use reqwest::Url;

use super::address::why_private;

/// What `http` tasks may reach: the public internet, or everything.
#[derive(Debug)]
pub(in crate::kinds) struct Reach {
    private: bool,
    // Private addresses that tests have their servers at.
    exceptions: Vec<IpAddr>,
}

impl Reach {
    pub const fn new(allow_private_addresses: bool) -> Self {
        Self { private: allow_private_addresses, exceptions: Vec::new() }
    }

    /// The public internet and these addresses.
    #[cfg(test)]
    pub const fn public_and(exceptions: Vec<IpAddr>) -> Self {
        Self { private: false, exceptions }
    }

    /// Checks an address, wherever it came from.
    pub(super) fn check(&self, address: IpAddr) -> Result<(), Refused> {
        if self.private || self.exceptions.contains(&address) {
            return Ok(());
        }
        why_private(address).map_or(Ok(()), |why| Err(Refused(format!("{address} is {why}"))))
    }

    /// Checks what the URL itself says. A name is checked when it is resolved, an address only here: it is connected
    /// to without the resolver.
    pub(super) fn check_url(&self, url: &Url) -> Result<(), Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused(format!("`{}` is not a scheme that http tasks use", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused("a URL with a user name or password is not taken; use a header".to_owned()));
        }
        let host = url.host_str().unwrap_or_default();
        if host.is_empty() {
            return Err(Refused("the URL has no host".to_owned()));
        }
        // The parser has made a dotted quad of every other way to write an IPv4 address.
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        literal.parse().map_or(Ok(()), |address| self.check(address))
    }
}

/// A place that may not be reached, and why.
#[derive(Debug)]
pub(super) struct Refused(String);

impl Refused {
    /// The place was found through a name.
    pub fn named(self, name: &str) -> Self {
        Self(format!("`{name}`: {}", self.0))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {}", self.0)
    }
}

impl error::Error for Refused {}
