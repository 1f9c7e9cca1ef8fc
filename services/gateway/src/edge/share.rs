//! Web pages of other origins, as far as the configuration names them (CORS). No cookie is ever looked at, so a page can
//! do no more than its user's token allows.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use taskyard_core::{Error, ErrorCode};
use taskyard_runtime::http_error::Problem;

use crate::app::App;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id, X-Request-Timeout-Ms",
);
/// What a page may read, besides what it always may.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id");
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Lets pages of this origin read the answer, an error too.
pub(super) fn share(app: &App, origin: Option<HeaderValue>, headers: &mut HeaderMap) {
    if !app.config().cors_origins.is_empty() {
        // Whatever keeps answers must not show one origin's to another.
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// The origin of a page that may call this server, if there is one.
pub(super) fn shared_with<'a>(app: &App, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    app.config().cors_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then_some(origin)
}

/// Whether a browser asks what a page may do.
pub(super) fn is_preflight(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to that. [`share`] adds the origin.
pub(super) fn preflight(app: &App, headers: &HeaderMap) -> Response {
    if shared_with(app, headers).is_none() {
        let message = "pages of this origin may not call this server; --cors-origin (TASKYARD_GATEWAY_CORS_ORIGINS) \
                       lists those that may";
        return Problem::new(Error::new(ErrorCode::Forbidden, message)).into_response();
    }
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ];
    (StatusCode::NO_CONTENT, allowed).into_response()
}
