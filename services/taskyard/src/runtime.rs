//! The runtime that a command runs on.

use std::{num::NonZero, process::ExitCode, thread};

use anyhow::Context;

use crate::exit::Outcome;

/// Runs a command that makes a few calls.
pub fn small(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot begin")?;
    let outcome = runtime.block_on(command);
    // A thread that still waits for standard input would keep us for ever.
    runtime.shutdown_background();
    outcome
}

/// Runs a server on as many threads as there are cores, but at least two, so that one that is busy stops nothing.
pub fn large(command: impl Future<Output = anyhow::Result<()>>) -> Outcome {
    let cores = thread::available_parallelism().map_or(2, NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(2))
        .enable_all()
        .build()
        .context("cannot begin")?;
    let outcome = runtime.block_on(command);
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}
