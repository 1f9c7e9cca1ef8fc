//! The key by which a create is known when it is sent again.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde_json::json;
use taskyard_core::{Error, ErrorCode, Result, limits::IDEMPOTENCY_KEY_BYTES_MAX};
use taskyard_runtime::http_error::Problem;

use crate::{
    app::App,
    openapi::{Input, Operation},
};

const NAME: &str = "Idempotency-Key";

/// The header's key, if there is one.
#[derive(Clone, Debug)]
pub(crate) struct IdempotencyKey(Option<String>);

impl IdempotencyKey {
    /// The key, which must not contradict the body's.
    pub(crate) fn beside(self, in_body: &str) -> Result<Option<String>> {
        match self.0 {
            Some(key) if !in_body.is_empty() && key != in_body => {
                Err(Error::invalid(NAME, "is another than the body's idempotency_key; leave one out"))
            }
            key => Ok(key),
        }
    }
}

impl FromRequestParts<App> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let Some(given) = parts.headers.get(NAME) else { return Ok(Self(None)) };
        match str::from_utf8(given.as_bytes()) {
            Ok("") => Err(Error::invalid(NAME, "is empty; leave it out or give a key").into()),
            Ok(key) => Ok(Self(Some(key.to_owned()))),
            Err(_) => Err(Error::invalid(NAME, "is not UTF-8").into()),
        }
    }
}

impl Input for IdempotencyKey {
    fn describe(operation: &mut Operation) {
        operation.add_parameter(
            "header",
            NAME,
            json!({ "type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_BYTES_MAX }),
            "The same request with the same key, within 24 hours, is answered with the task that it created.",
        );
        operation.add_error(ErrorCode::IdempotencyKeyReused);
    }
}
