//! A worker against pods that do, message by message, what a test says.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

mod chunks;
mod cuts;
mod ends;
mod fake;
mod model;
mod pods;
mod rate;
mod shutdown;
mod stops;
