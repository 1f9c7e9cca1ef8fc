//! The gateway before a fake tasks service: what each route asks for and shows, and who is let in.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "clippy knows only functions marked as tests")]

mod browsers;
mod description;
mod edge;
mod fake;
mod grpc;
mod harness;
mod raw;
mod rest;
