//! The servers fail, come back, are emptied, restored, and their clock jumps: nothing accepted is lost, no attempt is
//! spent, and work goes on without a restart of ours.
//!
//! Times that are asserted are those that the rules promise, with an allowance for a slow machine.

mod clock;
mod cut;
mod late;
mod leading;
mod races;
mod restored;
mod retention;
mod stopped;
mod wiped;

use std::time::Duration;

use anyhow::Result;
use taskyard_testkit::eventually;
use taskyard_tests::{Pod, Stack};

/// What a busy machine may need on top of what is promised.
const ALLOWANCE: Duration = Duration::from_secs(15);
/// How long everything accepted may take to end when all is well again: a session timeout, a look of the comparison, a
/// stand-back of a leader, and the work itself.
const SETTLED: Duration = Duration::from_secs(60);

/// So many pods, one of which leads.
async fn pods(stack: &Stack, count: usize) -> Result<Vec<Pod>> {
    let mut pods = Vec::new();
    for _ in 0..count {
        pods.push(stack.pod().await?);
    }
    leader(&pods, ALLOWANCE).await?;
    Ok(pods)
}

fn urls(pods: &[Pod]) -> Vec<String> {
    pods.iter().map(Pod::url).collect()
}

/// The place of the pod that leads, as soon as one does.
async fn leader(pods: &[Pod], within: Duration) -> Result<usize> {
    eventually(within, "a pod leads", async || pods.iter().position(Pod::leads)).await
}

/// Fails with all that is wrong.
fn none(what: &str, faults: Vec<String>) -> Result<()> {
    let few: Vec<&String> = faults.iter().take(5).collect();
    anyhow::ensure!(faults.is_empty(), "{what}: {} faults, among them {few:#?}", faults.len());
    Ok(())
}

async fn sleep_s(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
