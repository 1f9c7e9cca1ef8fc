//! Errors in the language that the client speaks.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header::CONTENT_TYPE};
use taskyard_core::Error;
use taskyard_proto::status::to_status;
use taskyard_runtime::http_error::Problem;

/// Whether a request is a gRPC call. (gRPC-Web is another protocol, which nobody here speaks.)
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return false };
    let rest = kind.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// What is answered in place of what was asked for.
pub(super) type Refusal = Box<Response>;

/// An error as a gRPC status for gRPC calls, otherwise as a problem document.
pub(super) fn refuse(grpc: bool, error: Error, as_problem: impl FnOnce(Problem) -> Problem) -> Response {
    if grpc { to_status(error).into_http::<Body>() } else { as_problem(Problem::new(error)).into_response() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_its_content_type() {
        let kind = |kind: &str| is_grpc(&[(CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect());
        assert!(kind("application/grpc") && kind("application/grpc+proto") && kind("application/grpc; x"));
        assert!(!kind("application/grpc-web") && !kind("application/json") && !kind(""));
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
