//! Errors of the wire as errors of ours.

use taskyard_core::{Error, ErrorCode};
use tonic::{Status, TimeoutExpired};

/// The same call may succeed at another pod, or later: the pod cannot serve now, or the connection broke.
pub(crate) fn is_unavailable(status: &Status) -> bool {
    taskyard_proto::status::from_status(status).code == ErrorCode::Unavailable
}

/// A failure below gRPC: it could not be sent, or the connection broke before an answer.
pub(crate) fn transport_status(error: tonic::transport::Error) -> Status {
    let mut causes: Vec<String> = Vec::new();
    let mut next = Some(&error as &(dyn std::error::Error + 'static));
    while let Some(cause) = next {
        if cause.is::<TimeoutExpired>() {
            return Status::deadline_exceeded("the deadline passed before an answer came");
        }
        // tonic's own outermost "transport error" says nothing; many causes repeat the next one's words.
        let text = cause.to_string();
        if !cause.is::<tonic::transport::Error>() && causes.last().is_none_or(|last| !last.contains(&text)) {
            causes.push(text);
        }
        next = cause.source();
    }
    Status::unavailable(format!("the connection failed: {}", causes.join(": ")))
}

/// The server's answer lacks what the contract promises.
pub(crate) fn incomplete(what: &str) -> Error {
    Error::new(ErrorCode::Internal, format!("the server's answer holds no {what}"))
}
