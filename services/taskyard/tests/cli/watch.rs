//! `taskyard task watch`.

use std::time::Duration;

use anyhow::{Context, Result};
use taskyard_testkit::Process;

use super::harness::{PROGRAM, Up, documents};

const WITHIN: Duration = Duration::from_secs(15);

fn watch(up: &Up, flags: &[&str]) -> Result<Process> {
    let arguments = ["task", "watch", "--json"].iter().chain(flags).copied();
    Process::spawn(PROGRAM, arguments, [("TASKYARD_URL", &up.url), ("TASKYARD_TOKEN", &up.key)])
}

#[tokio::test]
async fn it_goes_on_from_a_position_without_gap_or_double() -> Result<()> {
    let up = Up::start().await?;
    let mut live = watch(&up, &["--queue", "q"])?;
    live.wait_for_output("\"type\":\"opened\"", WITHIN).await?;
    for title in ["one", "two", "three"] {
        up.call(&["task", "create", "--kind", "manual", "--queue", "q", "--title", title])?.good()?;
    }
    up.call(&["task", "create", "--kind", "manual", "--queue", "other"])?.good()?;
    let line = live.wait_for_output("\"one\"", WITHIN).await?;
    live.wait_for_output("\"three\"", WITHIN).await?;
    assert!(!live.output().contains("other"), "{}", live.output());
    let first = documents(&line)?.pop().context("an event")?;

    let position = first["position"].as_str().context("a position")?;
    let mut later = watch(&up, &["--queue", "q", "--from", position])?;
    later.wait_for_output("\"three\"", WITHIN).await?;
    let told = documents(&later.output())?;
    let titles: Vec<_> = told.iter().filter_map(|event| event["title"].as_str()).collect();
    assert_eq!(titles, ["two", "three"]);
    up.stop().await
}

#[tokio::test]
async fn it_shows_progress() -> Result<()> {
    let up = Up::start().await?;
    let mut live = watch(&up, &["--progress"])?;
    live.wait_for_output("\"type\":\"opened\"", WITHIN).await?;
    up.call(&["task", "create", "--kind", "sleep", "--payload", "{\"ms\": 900, \"steps\": 3}"])?.good()?;
    let line = live.wait_for_output("\"type\":\"progress\"", WITHIN).await?;
    assert!(line.contains("\"percent\":") && line.contains("of 3"), "{line}");
    live.wait_for_output("task.completed", WITHIN).await?;
    live.terminate()?;
    assert_eq!(live.wait_exit(WITHIN).await?.code(), Some(143));
    up.stop().await
}
