//! A panic in a handler is that request's end only.

use std::panic::AssertUnwindSafe;

use axum::{extract::Request, middleware::Next, response::Response};
use futures::FutureExt;
use taskyard_core::Error;

use super::{is_grpc, refuse};

pub(crate) async fn catch_panic(request: Request, next: Next) -> Response {
    let grpc = is_grpc(request.headers());
    let path = request.uri().path().to_owned();
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(not a text)");
            let error = Error::internal(format!("a handler of {path} panicked: {text}; RUST_BACKTRACE=1 shows where"));
            refuse(grpc, error, |problem| problem)
        }
    }
}
