//! `taskyard`, the one binary: every role of the server, `taskyard up` that runs them all, and the client for the
//! command line.
//!
//! Never in here: what a role does. Each is a library; this crate reads flags, wires, and shows answers.

mod cli;
mod commands;
mod exit;
mod json;
mod output;
mod profile;
mod progress;
mod read;
mod runtime;
mod server;
mod text;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // It fails only when there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    exit::code(commands::run(cli::parse()))
}
