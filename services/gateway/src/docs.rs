//! The API's description for programs (`/openapi.json`) and for people (`/docs`). Pages are made of the description
//! when the gateway starts; they need no script, no other server and no token.

mod errors;
mod html;
mod page;
mod schema;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use schemars::JsonSchema;

use crate::openapi::{self, Described, Operation};

const STYLE: &str = include_str!("docs/style.css");
const TAG: &str = "Server";

/// Serves them; the description is of these routes.
pub(crate) fn routes(described: &[Described]) -> Router {
    let document = openapi::document(described);
    let pages = [
        ("/openapi.json", "application/json", openapi::pretty(&document)),
        ("/docs", "text/html; charset=utf-8", page::page(&document)),
        ("/docs/errors", "text/html; charset=utf-8", errors::page()),
        ("/docs/style.css", "text/css; charset=utf-8", STYLE.to_owned()),
    ];
    pages.into_iter().fold(Router::new(), |router, (path, kind, text)| {
        let text: Arc<str> = text.into();
        router.route(path, get(async move || shown(kind, &text)))
    })
}

fn shown(kind: &'static str, text: &str) -> impl IntoResponse + use<> {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        // The next version of the server has another one.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            ),
        ),
    ];
    (headers, text.to_owned())
}

/// Whether it lives or can serve.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used; `taskyard_runtime::health` writes it")]
struct Health {
    /// `ok`, `ready` or `not ready`.
    status: String,
    /// What it waits for.
    #[schemars(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
}

/// What is served without a token, besides the pages themselves.
pub(crate) fn described() -> Vec<Described> {
    let get = |path, operation: Operation| Described { path, method: "get", operation: operation.open() };
    vec![
        get(
            "/healthz",
            Operation::new("getHealth", TAG, "Whether the process lives").answers::<Health>(StatusCode::OK, "It does."),
        ),
        get(
            "/readyz",
            Operation::new("getReadiness", TAG, "Whether it can serve")
                .answers::<Health>(StatusCode::OK, "It can.")
                .answers::<Health>(StatusCode::SERVICE_UNAVAILABLE, "It cannot; `missing` says why."),
        ),
        get(
            "/openapi.json",
            Operation::new("getDescription", TAG, "This description")
                .answers::<serde_json::Map<String, serde_json::Value>>(
                    StatusCode::OK,
                    "OpenAPI 3.1. For people: `/docs`.",
                ),
        ),
    ]
}
