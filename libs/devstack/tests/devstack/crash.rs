//! The process that started the servers is killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use taskyard_devstack::process::{self, Signal};
use taskyard_devstack::{Devstack, remove_abandoned};

use crate::folder::Folder;
use crate::program::start_devstack;
use crate::servers::postgres_text;

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn no_server_outlives_a_killed_process() -> Result<()> {
    let folder = Folder::new();
    let mut owner = start_devstack(folder.path()).await?;
    let servers = folder.noted_pids()?;
    assert_eq!(servers.len(), 3);
    assert!(servers.iter().all(|pid| process::is_alive(*pid)));
    let guards = process::children(owner.id().context("no process id")?);
    assert_eq!(guards.len(), 3);

    owner.kill().await?;
    assert!(process::wait_until_gone(&servers, SOON).await, "a server is still there");
    assert!(process::wait_until_gone(&guards, SOON).await, "a guard is still there");
    // Cleanly: nothing has to be recovered.
    let log = std::fs::read_to_string(folder.path().join("log/postgres.log"))?;
    assert!(log.trim_end().ends_with("database system is shut down"), "{log}");
    Ok(())
}

#[tokio::test]
async fn no_server_outlives_a_killed_process_that_had_paused_it() -> Result<()> {
    let folder = Folder::new();
    let mut owner = start_devstack(folder.path()).await?;
    let mut servers = folder.noted_pids()?;
    for pid in servers.clone() {
        process::send(pid, Signal::STOP)?;
        for child in process::children(pid) {
            // Some of them live but a moment.
            if process::send(child, Signal::STOP).is_ok() {
                servers.push(child);
            }
        }
    }
    assert!(servers.len() > 6, "PostgreSQL has processes of its own");
    owner.kill().await?;
    assert!(process::wait_until_gone(&servers, SOON).await, "a server is still there");
    Ok(())
}

#[tokio::test]
async fn the_next_start_need_not_wait_for_the_guards() -> Result<()> {
    let folder = Folder::new();
    let mut owner = start_devstack(folder.path()).await?;
    owner.kill().await?;
    let stack = Devstack::start(folder.options(), |_| {}).await?;
    assert_eq!(postgres_text(stack.postgres_url(), "SELECT 'there'").await?, "there");
    stack.stop().await
}

#[tokio::test]
async fn servers_that_lost_their_guards_too_are_stopped_by_the_next_start() -> Result<()> {
    let folder = Folder::new();
    let mut owner = start_devstack(folder.path()).await?;
    let servers = kill_with_guards(&folder, &mut owner).await?;

    let before = Instant::now();
    let stack = Devstack::start(folder.options(), |_| {}).await?;
    assert!(before.elapsed() < SOON);
    assert!(servers.iter().all(|pid| !process::is_alive(*pid)), "those of the earlier run");
    assert_eq!(postgres_text(stack.postgres_url(), "SELECT 'there'").await?, "there");
    stack.stop().await
}

#[tokio::test]
async fn an_abandoned_folder_is_removed_with_its_servers() -> Result<()> {
    let folder = Folder::new();
    let mut owner = start_devstack(folder.path()).await?;
    assert!(!remove_abandoned(folder.path()).await?, "it is in use");
    let servers = kill_with_guards(&folder, &mut owner).await?;
    assert!(remove_abandoned(folder.path()).await?);
    assert!(servers.iter().all(|pid| !process::is_alive(*pid)));
    assert!(!folder.path().exists());
    Ok(())
}

/// After a restart of the machine, the numbers that files still note belong to others.
#[tokio::test]
async fn a_process_that_got_the_number_of_a_dead_server_is_left_alone() -> Result<()> {
    let folder = Folder::new();
    let stack = Devstack::start(folder.options(), |_| {}).await?;
    stack.postgres().context("no PostgreSQL")?.kill().await?;
    stack.stop().await?;

    let mut stranger = tokio::process::Command::new("sleep").arg("60").kill_on_drop(true).spawn()?;
    let pid = stranger.id().context("no process id")?;
    let own = folder.path().join("postgres/postmaster.pid");
    let lines = std::fs::read_to_string(&own)?;
    let (_, others) = lines.split_once('\n').context("postmaster.pid has one line")?;
    std::fs::write(&own, format!("{pid}\n{others}"))?;
    for server in ["postgres", "nats", "valkey"] {
        std::fs::write(folder.path().join("run").join(format!("{server}.pid")), pid.to_string())?;
    }

    let stack = Devstack::start(folder.options(), |_| {}).await?;
    assert!(process::is_alive(pid));
    stranger.kill().await?;
    stack.stop().await
}

/// Kills a process and the guards of its servers at once; the servers go on.
async fn kill_with_guards(folder: &Folder, owner: &mut tokio::process::Child) -> Result<Vec<u32>> {
    let servers = folder.noted_pids()?;
    for guard in process::children(owner.id().context("no process id")?) {
        // The watcher is the guard's other child.
        for child in process::children(guard).into_iter().filter(|child| !servers.contains(child)) {
            process::send(child, Signal::KILL)?;
        }
        process::send(guard, Signal::KILL)?;
    }
    owner.kill().await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(servers.iter().all(|pid| process::is_alive(*pid)), "nobody is left to stop them");
    Ok(servers)
}
