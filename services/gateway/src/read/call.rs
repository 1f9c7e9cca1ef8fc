//! What a call to the tasks service carries on from its request.

use std::time::Duration;

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, header::AUTHORIZATION, request::Parts},
};
use serde_json::json;
use taskyard_core::{Error, Result};
use taskyard_runtime::http_error::Problem;
use tokio::time::Instant;

use crate::{
    app::App,
    edge::RequestId,
    openapi::{Input, Operation},
};

/// How long a request may take if its client says nothing, and at most, unless configured otherwise.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

const TIMEOUT: &str = "x-request-timeout-ms";

/// A request's deadline and id.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The client's own (`X-Request-Timeout-Ms`), or the greatest.
    pub(crate) deadline: Instant,
    id: Option<RequestId>,
    // The caller's own, so that the tasks service judges who it is.
    authorization: Option<HeaderValue>,
}

impl Call {
    /// A message with the request's id.
    pub(crate) fn message<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(id) = &self.id
            && let Ok(id) = id.as_str().parse()
        {
            request.metadata_mut().insert("x-request-id", id);
        }
        if let Some(authorization) = &self.authorization
            && let Ok(value) = authorization.as_bytes().try_into()
        {
            request.metadata_mut().insert(AUTHORIZATION.as_str(), value);
        }
        request
    }
}

impl FromRequestParts<App> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let most = app.config().request_timeout;
        let timeout = match parts.headers.get(TIMEOUT) {
            None => most,
            Some(text) => timeout(text.as_bytes(), most)?,
        };
        let authorization = parts.headers.get(AUTHORIZATION).cloned();
        Ok(Self { deadline: Instant::now() + timeout, id: parts.extensions.get().cloned(), authorization })
    }
}

impl Input for Call {
    fn describe(operation: &mut Operation) {
        operation.add_parameter(
            "header",
            "X-Request-Id",
            json!({ "type": "string" }),
            "Comes back and is in every log; the server makes one unless it is 1 to 128 characters of visible ASCII.",
        );
        operation.add_parameter(
            "header",
            "X-Request-Timeout-Ms",
            json!({ "type": "integer", "minimum": 1, "maximum": REQUEST_TIMEOUT.as_millis() as u64 }),
            "How long the caller waits; as long as possible if it says nothing.",
        );
    }
}

fn timeout(text: &[u8], most: Duration) -> Result<Duration> {
    let millis = str::from_utf8(text).ok().and_then(|text| text.parse().ok()).map(Duration::from_millis);
    millis.filter(|millis| (Duration::from_millis(1)..=most).contains(millis)).ok_or_else(|| {
        let message = format!("`{}` must be a number from 1 to {}", text.escape_ascii(), most.as_millis());
        Error::invalid("X-Request-Timeout-Ms", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        let most = Duration::from_secs(30);
        assert_eq!(timeout(b"30000", most).unwrap(), most);
        for bad in [&b"0"[..], b"30001", b"1s", b"", b"-1", b"\xff", b"99999999999999999999"] {
            assert!(timeout(bad, most).is_err());
        }
    }
}
