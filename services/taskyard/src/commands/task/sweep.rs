//! A command for all tasks that match: how far it has come, and what it came to.

use indicatif::ProgressBar;
use serde::Serialize;
use taskyard_client::Result;

use crate::{output::is_watched, progress, server::ServerArgs};

/// Reads how many tasks are changed until no number comes, and gives the last one.
pub async fn follow(done: &str, mut next: impl AsyncFnMut() -> Result<Option<u64>>) -> Result<u64> {
    let bar = if is_watched() { progress::spinner() } else { ProgressBar::hidden() };
    let mut changed = 0;
    while let Some(told) = next().await? {
        changed = told;
        bar.set_message(format!("{changed} {done}"));
    }
    bar.finish_and_clear();
    Ok(changed)
}

/// Shows what it came to.
pub fn show(server: &ServerArgs, json: &impl Serialize, text: &str) -> anyhow::Result<()> {
    let mut output = server.output();
    if output.is_json() {
        output.json(json)?;
    } else {
        output.line(text)?;
    }
    output.flush()?;
    Ok(())
}
