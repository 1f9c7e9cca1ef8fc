//! Starting, stopping, starting again; who gets in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use taskyard_devstack::{Devstack, Options, process};

use crate::folder::Folder;
use crate::program::{devstack, start_devstack};
use crate::servers::{nats_publish, nats_text, postgres_run, postgres_text, redis_get, redis_set};

#[tokio::test]
async fn a_second_run_has_the_urls_and_the_data_of_the_first() -> Result<()> {
    let folder = Folder::new();
    let first = Devstack::start(folder.options(), |_| {}).await?;
    let urls = [first.postgres_url(), first.redis_url(), first.nats_url()].map(str::to_owned);
    let pids = [first.postgres(), first.redis(), first.nats()].map(|server| server.and_then(|server| server.pid()));
    postgres_run(&urls[0], "CREATE TABLE kept AS SELECT 'Größe'::text AS word").await?;
    redis_set(&urls[1], "cached").await?;
    nats_publish(&urls[2], "sent").await?;
    first.stop().await?;
    for pid in pids {
        assert!(!process::is_alive(pid.context("a server had no process id")?));
    }

    let second = Devstack::start(folder.options(), |_| {}).await?;
    assert_eq!(urls, [second.postgres_url(), second.redis_url(), second.nats_url()].map(str::to_owned));
    assert_eq!(postgres_text(&urls[0], "SELECT word FROM kept").await?, "Größe");
    assert_eq!(nats_text(&urls[2]).await?.as_deref(), Some("sent"));
    assert_eq!(redis_get(&urls[1]).await?, None, "the cache keeps nothing");
    second.stop().await
}

#[tokio::test]
async fn postgres_is_durable_counts_statements_and_knows_letters() -> Result<()> {
    let folder = Folder::new();
    let mut options = folder.options();
    options.postgres_settings = vec![("max_connections".to_owned(), "41".to_owned())];
    let stack = Devstack::start(options, |_| {}).await?;
    let url = stack.postgres_url();
    for (show, value) in [("SHOW fsync", "on"), ("SHOW synchronous_commit", "on"), ("SHOW max_connections", "41")] {
        assert_eq!(postgres_text(url, show).await?, value, "{show}");
    }
    postgres_run(url, "CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pg_trgm").await?;
    postgres_run(url, "SELECT * FROM pg_stat_statements").await?;
    assert_eq!(postgres_text(url, "SELECT array_length(show_trgm('Größe'), 1)::text").await?, "6");
    assert_eq!(postgres_text(url, "SELECT lower('ЗАДАЧА')").await?, "задача");
    stack.stop().await
}

#[tokio::test]
async fn only_who_knows_the_passwords_gets_in() -> Result<()> {
    let folder = Folder::new();
    let stack = Devstack::start(folder.options(), |_| {}).await?;
    let port = |server: Option<&taskyard_devstack::Server>| server.map(|server| server.port()).unwrap_or_default();

    let url = format!("postgres://taskyard:guess@127.0.0.1:{}/taskyard", port(stack.postgres()));
    let refused = postgres_text(&url, "SELECT 'in'").await.err().context("PostgreSQL let us in")?;
    assert!(format!("{refused:#}").contains("password authentication failed"), "{refused:#}");
    assert!(nats_text(&format!("nats://127.0.0.1:{}", port(stack.nats()))).await.is_err(), "NATS let us in");
    assert!(redis_get(&format!("redis://127.0.0.1:{}", port(stack.redis()))).await.is_err(), "Valkey let us in");

    // Nor does a list of processes or a file tell a password.
    let secrets = fs::read_to_string(folder.path().join("secrets.json"))?;
    let passwords: Vec<&str> = secrets.split('"').filter(|word| word.len() == 32).collect();
    assert_eq!(passwords.len(), 3);
    for pid in folder.noted_pids()? {
        let line = process::command_line(pid).context("no command line")?;
        assert!(!passwords.iter().any(|password| line.contains(password)), "{line}");
    }
    for file in ["secrets.json", "run/nats.conf", "run/valkey.conf", "log/postgres.log"] {
        assert_eq!(fs::metadata(folder.path().join(file))?.permissions().mode() & 0o077, 0, "{file}");
    }
    stack.stop().await
}

#[tokio::test]
async fn a_second_process_on_the_folder_is_refused_and_told_which_has_it() -> Result<()> {
    let folder = Folder::new();
    let stack = Devstack::start(folder.options(), |_| {}).await?;
    let output = devstack(folder.path()).args(["--", "true"]).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("another taskyard runs on this folder"), "{said}");
    assert!(said.contains(&format!("pid {}", std::process::id())), "{said}");
    stack.stop().await?;

    let mut free_again = start_devstack(folder.path()).await?;
    free_again.kill().await?;
    process::wait_until_gone(&folder.noted_pids()?, Duration::from_secs(10)).await;
    Ok(())
}

/// What a run that was interrupted left behind hinders nobody who begins afresh.
#[tokio::test]
async fn a_fresh_run_begins_without_the_data_of_the_last() -> Result<()> {
    let folder = Folder::new();
    let run = async |flags: &[&str]| {
        let output = devstack(folder.path()).args(flags).args(["--", "true"]).output().await?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        anyhow::Ok(())
    };
    run(&[]).await?;
    let left = folder.path().join("left");
    std::fs::write(&left, "behind")?;
    run(&[]).await?;
    assert!(left.exists());
    run(&["--fresh"]).await?;
    assert!(!left.exists() && folder.path().join("postgres").exists());
    let stack = Devstack::start(folder.options(), |_| ()).await?;
    let mut busy = devstack(folder.path());
    assert!(!busy.args(["--fresh", "--", "true"]).output().await?.status.success(), "it is in use");
    assert!(folder.path().join("postgres").exists());
    stack.stop().await
}

#[tokio::test]
async fn given_urls_start_and_write_nothing() -> Result<()> {
    let folder = Folder::new();
    let options = Options {
        postgres_url: Some("postgres://elsewhere/db".to_owned()),
        redis_url: Some("redis://elsewhere".to_owned()),
        nats_url: Some("nats://elsewhere".to_owned()),
        ..Options::new(folder.path())
    };
    let stack = Devstack::start(options, |step| panic!("{step}")).await?;
    assert_eq!(stack.postgres_url(), "postgres://elsewhere/db");
    assert!(stack.postgres().is_none() && stack.redis().is_none() && stack.nats().is_none());
    stack.stop().await?;
    assert!(!folder.path().exists());
    Ok(())
}

#[tokio::test]
async fn one_given_url_replaces_one_server() -> Result<()> {
    let folder = Folder::new();
    let options = Options { postgres_url: Some("postgres://elsewhere/db".to_owned()), ..folder.options() };
    let stack = Devstack::start(options, |_| {}).await?;
    assert!(stack.postgres().is_none() && stack.redis().is_some() && stack.nats().is_some());
    assert!(!folder.path().join("postgres").exists());
    stack.stop().await
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why_and_leaves_the_others_stopped() -> Result<()> {
    let folder = Folder::new();
    let mut options = folder.options();
    options.postgres_settings = vec![("shared_buffers".to_owned(), "plenty".to_owned())];
    let Err(error) = Devstack::start(options, |_| {}).await else { bail!("it started") };
    let said = format!("{error:#}");
    assert!(said.contains("PostgreSQL did not start") && said.contains("\"shared_buffers\""), "{said}");
    assert!(folder.noted_pids()?.into_iter().all(|pid| !process::is_alive(pid)));
    // And the folder can be used again.
    Devstack::start(folder.options(), |_| {}).await?.stop().await
}

#[tokio::test]
async fn a_server_moves_when_its_port_was_taken_meanwhile() -> Result<()> {
    let folder = Folder::new();
    let first = Devstack::start(folder.options(), |_| {}).await?;
    let port = first.nats().context("no NATS")?.port();
    first.stop().await?;
    let _stranger = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let second = Devstack::start(folder.options(), |_| {}).await?;
    assert_ne!(second.nats().context("no NATS")?.port(), port);
    assert_eq!(nats_text(second.nats_url()).await?, None);
    second.stop().await
}

#[tokio::test]
async fn a_server_that_ends_by_itself_is_reported() -> Result<()> {
    let folder = Folder::new();
    let stack = Devstack::start(folder.options(), |_| {}).await?;
    let pid = stack.redis().and_then(|server| server.pid()).context("no Valkey")?;
    process::send(pid, process::Signal::KILL)?;
    let end = tokio::time::timeout(Duration::from_secs(5), stack.unexpected_end()).await?;
    assert!(end.to_string().contains("Valkey ended by itself"), "{end}");
    stack.stop().await
}
