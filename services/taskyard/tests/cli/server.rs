//! `taskyard up` and `taskyard health`.

use std::time::Duration;

use anyhow::Result;

use super::harness::{Up, call};

#[tokio::test]
async fn it_is_ready_until_it_stops() -> Result<()> {
    let up = Up::start().await?;
    let ops = up.ops.clone();
    assert_eq!(call(&["health", "--url", &ops], &[], b"")?.good()?, "ready\n");
    up.stop().await?;
    let gone = call(&["health", "--url", &ops], &[], b"")?;
    assert_eq!(gone.code, 1);
    assert!(gone.err.contains("cannot connect"), "{}", gone.err);
    Ok(())
}

#[tokio::test]
async fn every_port_that_is_taken_is_named_with_its_flag() -> Result<()> {
    let up = Up::start().await?;
    let taken = up.url.trim_start_matches("http://");
    let ops = up.ops.trim_start_matches("http://");
    let second = call(&["up", "--listen", taken, "--tasks-listen", ops, "--ops-listen", ops], &[], b"")?;
    assert_eq!(second.code, 2, "{second:?}");
    assert!(second.err.starts_with("error: the configuration has 3 mistakes"), "{}", second.err);
    for flag in ["--listen", "--tasks-listen", "--ops-listen"] {
        assert!(second.err.contains(&format!("; {flag} 127.0.0.1:PORT chooses another")), "{}", second.err);
    }
    up.stop().await
}

#[tokio::test]
async fn only_who_shows_a_key_is_let_in() -> Result<()> {
    let up = Up::start().await?;
    let without = call(&["task", "list"], &[("TASKYARD_URL", &up.url), ("HOME", "/nowhere")], b"")?;
    assert_eq!(without.code, 1);
    assert!(without.err.contains("UNAUTHENTICATED"), "{}", without.err);
    up.call(&["task", "list"])?.good()?;
    // The built-in worker has a key of its own.
    up.call(&["task", "create", "--kind", "noop", "--wait"])?.good()?;
    up.stop().await
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() -> Result<()> {
    let mut up = Up::start().await?;
    // A running task keeps the worker for its grace period.
    up.call(&["task", "create", "--kind", "sleep", "--payload", "{\"ms\": 60000}"])?.good()?;
    let running = async || up.call(&["task", "list", "--state", "running"]).ok()?.out.contains("sleep").then_some(());
    taskyard_testkit::eventually(Duration::from_secs(10), "the task runs", running).await?;
    up.process.terminate()?;
    up.process.wait_for_output("Stopping", Duration::from_secs(5)).await?;
    up.process.terminate()?;
    let status = up.process.wait_exit(Duration::from_secs(2)).await?;
    assert_eq!(status.code(), Some(143), "{status}");
    Ok(())
}
