//! Web pages of others do not reach this server through a browser: neither by pointing a name of theirs at it (DNS
//! rebinding), nor by posting to it from their own page.

use axum::{
    extract::Request,
    http::{
        HeaderMap,
        header::{HOST, ORIGIN},
    },
};
use http::{StatusCode, Version};
use taskyard_core::{Error, ErrorCode};

use super::{
    refuse::{Refusal, refuse},
    share::{is_preflight, preflight, shared_with},
};
use crate::app::App;

pub(super) fn check(app: &App, request: &Request, grpc: bool) -> Result<(), Refusal> {
    // A kubelet calls pods by their address, and learns nothing from these but whether they live.
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return Ok(());
    }
    let refused = |error| Box::new(refuse(grpc, error, |problem| problem));
    let host = host(request).map_err(refused)?;
    if !app.config().hosts.take(host) {
        let message = format!(
            "`{}` is not a name of this server; --host (TASKYARD_GATEWAY_HOSTS) lists its names",
            taskyard_core::limits::shorten(host.unwrap_or_default(), 100)
        );
        let error = Error::new(ErrorCode::Unsupported, message);
        let status = StatusCode::MISDIRECTED_REQUEST;
        return Err(Box::new(refuse(grpc, error, |problem| problem.with_status(status))));
    }
    if is_preflight(request) {
        return Err(Box::new(preflight(app, request.headers())));
    }
    let foreign = is_foreign(request.headers(), host) && shared_with(app, request.headers()).is_none();
    if !request.method().is_safe() && foreign {
        return Err(refused(Error::new(
            ErrorCode::Forbidden,
            "changes are not taken from web pages of another origin",
        )));
    }
    Ok(())
}

/// HTTP/2 names the host in the URI, HTTP/1.1 in a header. Two that differ are how a request is smuggled past whatever
/// stands in front of this server.
fn host(request: &Request) -> Result<Option<&str>, Error> {
    let mut names = request.headers().get_all(HOST).iter();
    let (named, another) = (names.next(), names.next());
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    if another.is_some() {
        return Err(Error::invalid("Host", "is given twice"));
    }
    let named = named.map(|host| host.to_str().map_err(|_| Error::invalid("Host", "is not ASCII"))).transpose()?;
    match (authority, named) {
        (Some(authority), Some(named)) if !authority.eq_ignore_ascii_case(named) => {
            Err(Error::invalid("Host", "is another than the one in the request's URL"))
        }
        (None, None) if request.version() == Version::HTTP_11 => Err(Error::invalid("Host", "is missing")),
        (authority, named) => Ok(authority.or(named)),
    }
}

/// A browser sends `Origin` with every change that a page asks for; programs send none.
fn is_foreign(headers: &HeaderMap, host: Option<&str>) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    origin.is_none() || origin != host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_another_origin_is_foreign() {
        let foreign = |origin: Option<&str>| {
            let headers = origin.into_iter().map(|origin| (ORIGIN, origin.parse().unwrap())).collect();
            is_foreign(&headers, Some("localhost:8080"))
        };
        assert!(!foreign(None) && !foreign(Some("http://localhost:8080")));
        assert!(foreign(Some("http://localhost:3000")) && foreign(Some("https://evil.example")));
        assert!(foreign(Some("null")) && foreign(Some("")));
    }
}
