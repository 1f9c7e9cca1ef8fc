//! Errors as gRPC statuses: the one table from code to gRPC status, and the way back.
//!
//! A status carries a `google.rpc.ErrorInfo` whose reason is the stable code, a `google.rpc.BadRequest` for fields that
//! are wrong and a `google.rpc.RetryInfo` where a time is known. What lies behind an error never travels.

use std::{collections::HashMap, sync::Arc};

use taskyard_core::{Error, ErrorCode, error::Violation, limits};
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// The domain of our reasons.
pub const DOMAIN: &str = "taskyard";

// A status travels in HTTP/2 headers, twice, and once more in base64; clients take 16 KiB of them.
const MESSAGE_BYTES_MAX: usize = 1_000;
const VIOLATIONS_BYTES_MAX: usize = 4_000;
const VIOLATION_BYTES_MAX: usize = 500;

/// The gRPC code of an error.
#[must_use]
pub const fn grpc_code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::InvalidInput => Code::InvalidArgument,
        ErrorCode::TooLarge => Code::OutOfRange,
        ErrorCode::TaskNotFound
        | ErrorCode::QueueNotFound
        | ErrorCode::NamespaceNotFound
        | ErrorCode::UserNotFound
        | ErrorCode::KeyNotFound
        | ErrorCode::ScheduleNotFound => Code::NotFound,
        ErrorCode::RouteNotFound | ErrorCode::Unsupported => Code::Unimplemented,
        ErrorCode::IdTaken | ErrorCode::NameTaken | ErrorCode::IdempotencyKeyReused => Code::AlreadyExists,
        ErrorCode::VersionMismatch => Code::Aborted,
        ErrorCode::WrongState => Code::FailedPrecondition,
        ErrorCode::Unauthenticated => Code::Unauthenticated,
        ErrorCode::Forbidden => Code::PermissionDenied,
        ErrorCode::Exhausted => Code::ResourceExhausted,
        ErrorCode::Unavailable => Code::Unavailable,
        ErrorCode::DeadlineExceeded => Code::DeadlineExceeded,
        _ => Code::Internal,
    }
}

/// An error as a status. What lies behind it stays in this process, as the status' source, for the log.
#[must_use]
pub fn to_status(error: Error) -> Status {
    let mut details = ErrorDetails::with_error_info(error.code.as_str(), DOMAIN, HashMap::new());
    let mut bytes = 0;
    for violation in &error.violations {
        let field = limits::shorten(&violation.field, VIOLATION_BYTES_MAX);
        let message = limits::shorten(&violation.message, VIOLATION_BYTES_MAX);
        bytes += field.len() + message.len();
        if bytes > VIOLATIONS_BYTES_MAX {
            break;
        }
        details.add_bad_request_violation(field, message);
    }
    if error.retry_after.is_some() {
        details.set_retry_info(error.retry_after);
    }
    let message = limits::shorten(&error.message, MESSAGE_BYTES_MAX).to_owned();
    let mut status = Status::with_error_details(grpc_code(error.code), message, details);
    if let Some(source) = error.source {
        status.set_source(Arc::from(source));
    }
    status
}

/// The error that a status tells of. A reason that this version does not know falls back to the gRPC code; a
/// connection that could not be made or broke is [`ErrorCode::Unavailable`].
#[must_use]
pub fn from_status(status: &Status) -> Error {
    let details = status.get_error_details();
    let reason = details.error_info().filter(|info| info.domain == DOMAIN).map(|info| info.reason.as_str());
    let code = reason.and_then(ErrorCode::parse).unwrap_or_else(|| fallback(status, reason.is_some()));
    let message = match status.message() {
        "" => format!("the server answered {}", status.code()),
        message => message.to_owned(),
    };
    let mut error = match code {
        ErrorCode::Unavailable => Error::unavailable(message),
        code => Error::new(code, message),
    };
    let violations = details.bad_request().map(|request| request.field_violations.as_slice()).unwrap_or_default();
    error.violations = violations.iter().map(violation).collect();
    if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
        error.retry_after = Some(delay);
    }
    error
}

fn violation(violation: &FieldViolation) -> Violation {
    Violation { field: violation.field.clone(), message: violation.description.clone() }
}

fn fallback(status: &Status, ours: bool) -> ErrorCode {
    match status.code() {
        Code::InvalidArgument => ErrorCode::InvalidInput,
        Code::OutOfRange => ErrorCode::TooLarge,
        Code::NotFound => ErrorCode::TaskNotFound,
        Code::AlreadyExists => ErrorCode::IdTaken,
        Code::Aborted => ErrorCode::VersionMismatch,
        Code::FailedPrecondition => ErrorCode::WrongState,
        Code::Unauthenticated => ErrorCode::Unauthenticated,
        Code::PermissionDenied => ErrorCode::Forbidden,
        Code::ResourceExhausted => ErrorCode::Exhausted,
        Code::Unavailable => ErrorCode::Unavailable,
        Code::DeadlineExceeded => ErrorCode::DeadlineExceeded,
        Code::Unimplemented if ours => ErrorCode::Unsupported,
        Code::Unimplemented => ErrorCode::RouteNotFound,
        // tonic says so when its own timeout (client or server side) has passed.
        Code::Cancelled if status.message() == TimeoutExpired(()).to_string() => ErrorCode::DeadlineExceeded,
        // Nobody of ours answers these without a reason: the connection broke, or the pod went away in the middle.
        Code::Cancelled | Code::Unknown => ErrorCode::Unavailable,
        // Only a status made on this side has a source: HTTP/2 broke.
        Code::Internal if std::error::Error::source(status).is_some() || is_broken_stream(status) => {
            ErrorCode::Unavailable
        }
        Code::Ok | Code::Internal | Code::DataLoss => ErrorCode::Internal,
    }
}

/// tonic loses the source of some errors of HTTP/2.
fn is_broken_stream(status: &Status) -> bool {
    status.message().starts_with("h2 protocol error")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_code_survives() {
        for code in ErrorCode::ALL {
            let mut error = Error::new(code, "a sentence").with_source("a secret");
            error.violations.push(Violation { field: "retry.backoff".into(), message: "is wrong".into() });
            error.retry_after = Some(Duration::from_millis(1500));
            let violations = error.violations.clone();

            // Over the wire and back.
            let status = to_status(error);
            assert_eq!(status.code(), grpc_code(code));
            assert!(std::error::Error::source(&status).is_some(), "kept for the log");
            let response = status.into_http::<()>();
            let status = Status::from_header_map(response.headers()).expect("a status");
            let back = from_status(&status);
            assert_eq!(back.code, code);
            assert_eq!(back.message, "a sentence");
            assert_eq!(back.violations, violations);
            assert_eq!(back.retry_after, Some(Duration::from_millis(1500)));
            assert!(back.source.is_none(), "what lies behind it does not travel");
        }
    }

    #[test]
    fn statuses_of_others_have_the_nearest_code() {
        let code = |status: Status| from_status(&status).code;
        assert_eq!(code(Status::not_found("x")), ErrorCode::TaskNotFound);
        assert_eq!(code(Status::unimplemented("x")), ErrorCode::RouteNotFound);
        assert_eq!(code(Status::cancelled("Timeout expired")), ErrorCode::DeadlineExceeded);
        assert_eq!(code(Status::unknown("transport error")), ErrorCode::Unavailable);
        assert_eq!(code(Status::internal("x")), ErrorCode::Internal);
        assert_eq!(code(Status::internal("h2 protocol error: broken pipe")), ErrorCode::Unavailable);
        assert!(from_status(&Status::unavailable("x")).retry_after.is_some());
    }

    #[test]
    fn a_reason_of_a_newer_server_falls_back_to_its_grpc_code() {
        let details = ErrorDetails::with_error_info("COLOUR_NOT_FOUND", DOMAIN, HashMap::new());
        let status = Status::with_error_details(Code::FailedPrecondition, "x", details);
        assert_eq!(from_status(&status).code, ErrorCode::WrongState);
        let foreign = ErrorDetails::with_error_info("TASK_NOT_FOUND", "example.com", HashMap::new());
        let status = Status::with_error_details(Code::Unavailable, "x", foreign);
        assert_eq!(from_status(&status).code, ErrorCode::Unavailable);
    }

    #[test]
    fn a_status_fits_into_headers() {
        let mut error = Error::invalid("ä".repeat(100_000), "ß".repeat(100_000));
        error.violations = vec![error.violations[0].clone(); 1_000];
        let response = to_status(error).into_http::<()>();
        let bytes: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(bytes < 14_000, "{bytes}");
    }

    proptest! {
        #[test]
        fn any_status_is_an_error(code in 0..20i32, message in ".{0,50}", details in prop::collection::vec(any::<u8>(), 0..60)) {
            let status = Status::with_details(Code::from_i32(code), message, details.into());
            prop_assert!(!from_status(&status).message.is_empty());
        }
    }
}
