//! What a client calls itself.

use axum::{
    extract::FromRequestParts,
    http::{header::USER_AGENT, request::Parts},
};
use serde_json::json;
use taskyard_runtime::http_error::Problem;

use crate::{
    app::App,
    openapi::{Input, Operation},
};

/// The header `User-Agent`; empty if there is none, or none that is text.
#[derive(Debug)]
pub(crate) struct UserAgent(pub(crate) String);

impl FromRequestParts<App> for UserAgent {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        Ok(Self(agent.unwrap_or_default().to_owned()))
    }
}

impl Input for UserAgent {
    fn describe(operation: &mut Operation) {
        operation.add_parameter(
            "header",
            "User-Agent",
            json!({ "type": "string" }),
            "What the list of sign-ins shows.",
        );
    }
}
