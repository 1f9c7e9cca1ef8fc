//! Processes, played by shell scripts.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use anyhow::{Context, Result};
use taskyard_devstack::process::is_alive;
use taskyard_testkit::{Process, eventually};

const LONG: Duration = Duration::from_secs(10);
const A_WHILE: Duration = Duration::from_millis(200);

fn script(text: &str) -> Result<Process> {
    Process::spawn("/bin/sh", ["-c", text], [("GIVEN", "this")])
}

#[tokio::test]
async fn it_gets_the_environment_of_the_test_and_little_else() -> Result<()> {
    let mut process = script("env; echo done")?;
    process.wait_for_output("done", LONG).await?;
    let output = process.output();
    assert!(output.contains("GIVEN=this") && output.contains("PATH="), "{output}");
    assert!(!output.contains("CARGO") && !output.contains("HOME="), "{output}");
    Ok(())
}

#[tokio::test]
async fn its_output_is_awaited_and_kept() -> Result<()> {
    let mut process = script("echo first; sleep 0.1; echo listens on 127.0.0.1:77 >&2; sleep 60")?;
    assert_eq!(process.wait_for_output("listens on", LONG).await?, "listens on 127.0.0.1:77");
    assert_eq!(process.wait_for_output("first", LONG).await?, "first", "one from before");
    let never = process.wait_for_output("never", A_WHILE).await.err().context("it was said")?.to_string();
    assert!(never.contains("not within") && never.contains("listens on 127.0.0.1:77"), "{never}");
    Ok(())
}

#[tokio::test]
async fn one_that_ends_without_saying_it_is_not_awaited() -> Result<()> {
    let mut process = script("echo broken; exit 3")?;
    let error = process.wait_for_output("ready", LONG).await.err().context("it was said")?.to_string();
    assert!(error.contains("it has ended (exit status: 3)") && error.contains("broken"), "{error}");
    assert!(process.kill().is_err(), "its number may be another's now");
    Ok(())
}

#[tokio::test]
async fn it_can_be_told_to_end_and_be_killed() -> Result<()> {
    let mut process = script("trap 'echo tidy; exit 7' TERM; echo up; while :; do sleep 0.05; done")?;
    process.wait_for_output("up", LONG).await?;
    assert!(process.wait_exit(A_WHILE).await.is_err());
    process.terminate()?;
    assert_eq!(process.wait_exit(LONG).await?.code(), Some(7));
    process.wait_for_output("tidy", LONG).await?;

    let mut process = script("trap '' TERM; echo up; sleep 60")?;
    process.wait_for_output("up", LONG).await?;
    process.terminate()?;
    assert!(process.wait_exit(A_WHILE).await.is_err());
    process.kill()?;
    assert_eq!(process.wait_exit(LONG).await?.signal(), Some(9));
    Ok(())
}

#[tokio::test]
async fn frozen_it_does_nothing_until_it_is_thawed() -> Result<()> {
    let mut process = script("while :; do echo tick; sleep 0.01; done")?;
    process.wait_for_output("tick", LONG).await?;
    process.freeze().await?;
    assert!(process.is_frozen());
    // What it said just before may still be on its way.
    tokio::time::sleep(A_WHILE).await;
    let before = process.output().len();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(process.output().len(), before);
    process.thaw()?;
    eventually(LONG, "it goes on", async || (process.output().len() > before).then_some(())).await?;
    assert!(!process.is_frozen());
    Ok(())
}

#[tokio::test]
async fn dropped_it_is_gone_frozen_or_not_with_its_children() -> Result<()> {
    let mut process = script("sleep 60 & echo child $!; wait")?;
    let line = process.wait_for_output("child", LONG).await?;
    let child: u32 = line.trim_start_matches("child ").parse()?;
    let pid = process.pid();
    process.freeze().await?;
    assert!(is_alive(child) && is_alive(pid));
    drop(process);
    assert!(!is_alive(pid));
    eventually(LONG, "the child is gone", async || (!is_alive(child)).then_some(())).await
}

#[tokio::test]
async fn much_output_does_not_stop_it() -> Result<()> {
    let mut process = script("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 4")?;
    assert_eq!(process.wait_exit(LONG).await?.code(), Some(4));
    process.wait_for_output("line 19999", LONG).await?;
    Ok(())
}
