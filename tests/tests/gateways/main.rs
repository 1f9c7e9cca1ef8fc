//! Gateways in front of a pod: who gets through, and how often.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod cache;
mod kept;
mod rates;
mod rig;
mod rights;
