//! Asynchronous work where nothing can be awaited.

use anyhow::{Context, Error, Result};

/// Does the work on a runtime and thread of its own, and waits for it: what drops a value may be part of a runtime that
/// cannot go on meanwhile, or ends just now.
pub(crate) fn block_on_elsewhere(work: impl Future<Output = Result<()>> + Send) -> Result<()> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("cannot make a runtime")?.block_on(work)
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|_| Err(Error::msg("it panicked")))
}
