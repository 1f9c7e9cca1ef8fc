//! A panic in a handler is that request's end only.

use std::{future::Future, panic::AssertUnwindSafe};

use axum::response::Response;
use futures::FutureExt;
use taskyard_core::Error;

use super::refuse::refuse;

pub(super) async fn catch(grpc: bool, path: &str, answer: impl Future<Output = Response>) -> Response {
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(not a text)");
            let error = Error::internal(format!("a handler of {path} panicked: {text}; RUST_BACKTRACE=1 shows where"));
            refuse(grpc, error, |problem| problem)
        }
    }
}
