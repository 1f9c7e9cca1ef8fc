//! Web pages of others do not reach this server through a browser: neither by pointing a name of theirs at it (DNS
//! rebinding), nor by posting to it from their own page.

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap,
        header::{HOST, ORIGIN},
    },
    middleware::Next,
    response::Response,
};
use http::StatusCode;
use taskyard_core::{Error, ErrorCode};

use super::{is_grpc, refuse};
use crate::app::App;

pub(crate) async fn check_origin(State(app): State<App>, request: Request, next: Next) -> Response {
    // A kubelet calls pods by their address, and learns nothing from these but whether they live.
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return next.run(request).await;
    }
    let grpc = is_grpc(request.headers());
    let host = host(&request);
    if !app.config().hosts.take(host) {
        let message = format!(
            "`{}` is not a name of this server; --host (TASKYARD_GATEWAY_HOSTS) lists its names",
            taskyard_core::limits::shorten(host.unwrap_or_default(), 100)
        );
        let error = Error::new(ErrorCode::Unsupported, message);
        return refuse(grpc, error, |problem| problem.with_status(StatusCode::MISDIRECTED_REQUEST));
    }
    if !request.method().is_safe() && is_foreign(request.headers(), host) {
        let error = Error::new(ErrorCode::Forbidden, "changes are not taken from web pages of another origin");
        return refuse(grpc, error, |problem| problem);
    }
    next.run(request).await
}

/// HTTP/2 names the host in the URI, HTTP/1.1 in a header.
fn host(request: &Request) -> Option<&str> {
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    authority.or_else(|| request.headers().get(HOST)?.to_str().ok())
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
