//! The client against pods that answer as a test says.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

mod fake;
mod pods;
mod streams;
mod tasks;
