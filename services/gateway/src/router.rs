//! Which path leads where, and through what.

use axum::{
    Router,
    http::{Method, Uri},
    middleware::from_fn_with_state,
};
use http::StatusCode;
use taskyard_core::{Error, ErrorCode};
use taskyard_runtime::http_error::Problem;

use crate::{app::App, docs, edge, openapi::Described, rest};

pub(crate) fn router(app: App) -> Router {
    let (routes, _) = rest::routes().split();
    let guarded = routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(app.clone(), edge::guard));
    let (open, _) = rest::open_routes().split();
    let open = open
        .layer(from_fn_with_state(app.clone(), edge::guard_open))
        .with_state(app.clone())
        .merge(app.health().routes())
        .merge(docs::routes(&described()));
    let routes = guarded.with_state(app.clone()).merge(open).method_not_allowed_fallback(no_method);
    routes.layer(from_fn_with_state(app, edge::pass))
}

/// Every route that is served, and what it does.
pub(crate) fn described() -> Vec<Described> {
    let (_, mut described) = rest::routes().split();
    described.extend(rest::open_routes().split().1);
    described.extend(docs::described());
    described
}

async fn no_route(method: Method, uri: Uri) -> Result<StatusCode, Problem> {
    // "Whatever you can do", of the server as a whole.
    if method == Method::OPTIONS && uri.path() == "*" {
        return Ok(StatusCode::NO_CONTENT);
    }
    let path = taskyard_core::limits::shorten(uri.path(), 200);
    let message = format!("there is no {method} {path}; /docs lists all routes");
    Err(Error::new(ErrorCode::RouteNotFound, message).into())
}

/// axum adds the `Allow` header, which is all that `OPTIONS` asks for.
async fn no_method(method: Method, uri: Uri) -> Result<StatusCode, Problem> {
    if method == Method::OPTIONS {
        return Ok(StatusCode::NO_CONTENT);
    }
    let path = taskyard_core::limits::shorten(uri.path(), 200);
    let message = format!("{path} does not take {method}; the Allow header says what it takes");
    Err(Problem::new(Error::new(ErrorCode::Unsupported, message)).with_status(StatusCode::METHOD_NOT_ALLOWED))
}
