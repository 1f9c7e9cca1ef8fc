//! Which path leads where, and through what.

use axum::{
    Router,
    http::{Method, Uri},
    middleware::{from_fn, from_fn_with_state},
};
use http::StatusCode;
use taskyard_core::{Error, ErrorCode};
use taskyard_runtime::http_error::Problem;

use crate::{app::App, edge, grpc, rest};

pub(crate) fn router(app: App) -> Router {
    let guarded = rest::routes()
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(app.clone(), edge::guard));
    let open = rest::open_routes().with_state(app.clone()).merge(app.health().routes());
    let routes = guarded.with_state(app.clone()).merge(open).method_not_allowed_fallback(no_method);
    // The last one is the first that a request meets.
    routes
        .layer(from_fn_with_state(app.clone(), grpc::divert))
        .layer(from_fn_with_state(app.clone(), edge::check_origin))
        .layer(from_fn(edge::catch_panic))
        .layer(from_fn_with_state(app, edge::observe))
        .layer(from_fn(edge::name_request))
}

async fn no_route(method: Method, uri: Uri) -> Problem {
    let path = taskyard_core::limits::shorten(uri.path(), 200);
    Error::new(ErrorCode::RouteNotFound, format!("there is no {method} {path}; docs/rest.md lists all routes")).into()
}

/// axum adds the `Allow` header.
async fn no_method(method: Method, uri: Uri) -> Problem {
    let path = taskyard_core::limits::shorten(uri.path(), 200);
    let message = format!("{path} does not take {method}; the Allow header says what it takes");
    Problem::new(Error::new(ErrorCode::Unsupported, message)).with_status(StatusCode::METHOD_NOT_ALLOWED)
}
