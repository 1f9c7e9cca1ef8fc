//! Errors as HTTP answers: problem details of RFC 9457, and the one table from code to HTTP status.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use taskyard_core::{Error, ErrorCode};

/// The HTTP status of an error.
#[must_use]
pub const fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::TaskNotFound
        | ErrorCode::QueueNotFound
        | ErrorCode::NamespaceNotFound
        | ErrorCode::UserNotFound
        | ErrorCode::KeyNotFound
        | ErrorCode::ScheduleNotFound
        | ErrorCode::RouteNotFound => StatusCode::NOT_FOUND,
        ErrorCode::IdTaken | ErrorCode::NameTaken | ErrorCode::IdempotencyKeyReused | ErrorCode::WrongState => {
            StatusCode::CONFLICT
        }
        ErrorCode::VersionMismatch => StatusCode::PRECONDITION_FAILED,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::Exhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What a code means, the same for all its errors.
#[must_use]
pub const fn title(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InvalidInput => "The input is not valid",
        ErrorCode::TooLarge => "The request is too large",
        ErrorCode::TaskNotFound => "There is no such task",
        ErrorCode::QueueNotFound => "There is no such queue",
        ErrorCode::NamespaceNotFound => "There is no such namespace",
        ErrorCode::UserNotFound => "There is no such user",
        ErrorCode::KeyNotFound => "There is no such key",
        ErrorCode::ScheduleNotFound => "There is no such schedule",
        ErrorCode::RouteNotFound => "There is no such route",
        ErrorCode::IdTaken => "The id is taken",
        ErrorCode::NameTaken => "The name is taken",
        ErrorCode::IdempotencyKeyReused => "The idempotency key was used for another request",
        ErrorCode::VersionMismatch => "It has changed meanwhile",
        ErrorCode::WrongState => "The task's state does not allow this",
        ErrorCode::Unauthenticated => "A valid token is needed",
        ErrorCode::Forbidden => "This is not allowed",
        ErrorCode::Unsupported => "The request did not come as this server takes it",
        ErrorCode::Exhausted => "A limit is reached",
        ErrorCode::Unavailable => "A part of the server cannot be reached",
        ErrorCode::DeadlineExceeded => "It took too long",
        _ => "An internal error",
    }
}

/// An error as an answer.
#[derive(Debug)]
pub struct Problem {
    error: Error,
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// The answer to this error, with the status of its code.
    #[must_use]
    pub fn new(error: Error) -> Self {
        Self { status: status(error.code), error, headers: Vec::new() }
    }

    /// With a status that says more than the code's (405 and 421 are kinds of [`ErrorCode::Unsupported`]).
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With one header more.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::new(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { error, status, headers } = self;
        if error.code == ErrorCode::Internal || error.source.is_some() {
            tracing::error!(code = error.code.as_str(), source = sources(&error), "{error}");
        }
        let details = Details {
            kind: format!("/docs/errors#{}", error.code.as_str()),
            title: title(error.code),
            status: status.as_u16(),
            detail: &error.message,
            code: error.code.as_str(),
            errors: error
                .violations
                .iter()
                .map(|wrong| FieldError { field: &wrong.field, message: &wrong.message })
                .collect(),
        };
        // Strings and numbers always are JSON.
        let body = serde_json::to_vec(&details).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let answer = response.headers_mut();
        answer.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if error.code == ErrorCode::Unauthenticated {
            answer.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = error.retry_after {
            answer.insert(header::RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1_000).max(1) as u64));
        }
        answer.extend(headers);
        response
    }
}

#[derive(Serialize)]
struct Details<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError<'a>>,
}

#[derive(Serialize)]
struct FieldError<'a> {
    field: &'a str,
    message: &'a str,
}

/// What lies behind an error, outermost first.
fn sources(error: &Error) -> String {
    let first = std::error::Error::source(error);
    let chain: Vec<_> = std::iter::successors(first, |error| error.source()).map(ToString::to_string).collect();
    chain.join(": ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn body(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_problem_says_what_is_wrong_and_never_what_lies_behind() {
        let mut error = Error::invalid("title", "has 2000 bytes").with_source("SELECT secret");
        error.retry_after = Some(Duration::from_millis(1_200));
        let response = Problem::new(error).into_response();
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(
            body(response).await,
            r##"{"type":"/docs/errors#INVALID_INPUT","title":"The input is not valid","status":400,"detail":"title: has 2000 bytes","code":"INVALID_INPUT","errors":[{"field":"title","message":"has 2000 bytes"}]}"##
        );
    }

    #[tokio::test]
    async fn every_code_is_an_error_status_with_a_title() {
        for code in ErrorCode::ALL {
            let response = Problem::new(Error::new(code, "x")).into_response();
            assert!(response.status().is_client_error() || response.status().is_server_error());
            let internal = matches!(code, ErrorCode::Internal);
            assert_eq!(response.status() == 500, internal, "{code:?} has no status of its own");
            assert_eq!(response.headers().contains_key("www-authenticate"), response.status() == 401);
        }
    }
}
