//! Bounds of what comes before a body. A body's bound is kept where it is read.

use axum::{extract::Request, http::HeaderMap};
use http::StatusCode;
use taskyard_core::{Error, ErrorCode};

use super::refuse::{Refusal, refuse};

/// Bytes of a path; the longest of ours have names of 64 bytes in them, each byte at most three in a URL.
const PATH_BYTES_MAX: usize = 2_048;
/// Bytes of a query.
const QUERY_BYTES_MAX: usize = 8_192;
/// Bytes of all headers of a request, names and values. The server below takes twice that, so that what is too much
/// is mostly answered here, with a reason.
pub(crate) const HEADER_BYTES_MAX: usize = 32 * 1_024;

pub(super) fn check(request: &Request, grpc: bool) -> Result<(), Refusal> {
    let uri = request.uri();
    let bounds = [
        ("the path", uri.path().len(), PATH_BYTES_MAX, StatusCode::URI_TOO_LONG),
        ("the query", uri.query().map_or(0, str::len), QUERY_BYTES_MAX, StatusCode::URI_TOO_LONG),
        ("headers", bytes_of(request.headers()), HEADER_BYTES_MAX, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
    ];
    let Some((what, bytes, most, status)) = bounds.into_iter().find(|(_, bytes, most, _)| bytes > most) else {
        return Ok(());
    };
    let error = Error::new(ErrorCode::TooLarge, format!("{what}: {bytes} bytes; at most {most} are taken"));
    Err(Box::new(refuse(grpc, error, |problem| problem.with_status(status))))
}

fn bytes_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}
