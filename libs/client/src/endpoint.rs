//! The URLs at which pods are found.

use http::Uri;
use taskyard_core::{Error, Result};

/// One URL: a host that stands for one or more pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `scheme://host:port`.
    pub uri: Uri,
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

/// Reads URLs; each text may hold several, separated by commas.
///
/// # Errors
/// If there is none, or one of them cannot be used.
pub(crate) fn parse<I>(urls: I) -> Result<Vec<Endpoint>>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let mut endpoints = Vec::new();
    for text in urls {
        for url in text.as_ref().split(',').map(str::trim).filter(|url| !url.is_empty()) {
            let endpoint = parse_one(url)?;
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
    }
    if endpoints.is_empty() {
        return Err(Error::invalid("url", "is missing; give one like http://127.0.0.1:50051"));
    }
    Ok(endpoints)
}

fn parse_one(url: &str) -> Result<Endpoint> {
    let wrong = |what: &str| Error::invalid("url", format!("`{url}` {what}; give one like http://host:50051"));
    let uri: Uri = url.parse().map_err(|_| wrong("is not a URL"))?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(wrong("does not begin with http:// or https://")),
    };
    let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("holds a user name or password; hand in a token instead"));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("has a path or query, which gRPC does not take"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err(wrong("has no host"));
    }
    let default_port = if tls { 443 } else { 80 };
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => default_port,
        rest => rest
            .and_then(|rest| rest.strip_prefix(':')?.parse().ok())
            .filter(|port| *port > 0)
            .ok_or_else(|| wrong("has no valid port"))?,
    };
    let scheme = if tls { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(authority.clone()).path_and_query("/").build();
    Ok(Endpoint { uri: uri.map_err(|_| wrong("is not a URL"))?, host, port, tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, u16, bool)>> {
        Ok(parse([text])?.into_iter().map(|endpoint| (endpoint.host, endpoint.port, endpoint.tls)).collect())
    }

    #[test]
    fn urls_are_read() {
        assert_eq!(read("http://a:1").expect("good"), [("a".to_owned(), 1, false)]);
        assert_eq!(
            read(" http://a:1/, https://b ,http://[::1]:3,http://a:1").expect("good"),
            [("a".to_owned(), 1, false), ("b".to_owned(), 443, true), ("::1".to_owned(), 3, false)]
        );
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for bad in [
            "",
            ",",
            "a:1",
            "a",
            "ftp://a:1",
            "http://",
            "http://u:p@a:1",
            "http://a:1/x",
            "http://a:1?x=1",
            "http://a:x",
            "http://a:",
            "http://a:0",
            "http://a:99999",
        ] {
            assert!(parse([bad]).is_err(), "{bad:?} was taken");
        }
    }
}
