//! Single servers: stopped, killed, paused, emptied.

use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{Connection, Executor, PgConnection};
use taskyard_devstack::{Devstack, process};
use tokio::time::timeout;

use crate::folder::Folder;
use crate::servers::{nats_publish, nats_text, postgres_run, postgres_text, redis_get, redis_set};

const A_WHILE: Duration = Duration::from_millis(500);

#[tokio::test]
async fn postgres_keeps_what_was_committed_when_it_is_killed() -> Result<()> {
    let folder = Folder::new();
    let stack = Devstack::start(folder.options(), |_| {}).await?;
    let postgres = stack.postgres().context("no PostgreSQL")?;
    let url = postgres.url();
    postgres_run(url, "CREATE TABLE kept AS SELECT 'committed'::text AS word").await?;
    let first = postgres.pid();
    let family: Vec<u32> = first.into_iter().flat_map(process::children).chain(first).collect();
    assert!(family.len() > 3, "PostgreSQL has processes of its own");

    postgres.kill().await?;
    assert!(family.iter().all(|pid| !process::is_alive(*pid)));
    assert!(postgres_text(url, "SELECT 'there'").await.is_err());
    assert!(!postgres.is_running());

    postgres.start().await?;
    assert_eq!(postgres_text(url, "SELECT word FROM kept").await?, "committed");
    assert_ne!(postgres.pid(), first);
    assert!(postgres.start().await.is_err(), "it runs already");
    postgres.stop().await?;
    postgres.stop().await?;
    postgres.start().await?;
    stack.stop().await
}

#[tokio::test]
async fn a_paused_server_answers_nobody_until_it_goes_on() -> Result<()> {
    let folder = Folder::new();
    let stack = Devstack::start(folder.options(), |_| {}).await?;
    let postgres = stack.postgres().context("no PostgreSQL")?;
    let mut connected = PgConnection::connect(postgres.url()).await?;

    postgres.pause()?;
    let question = connected.execute("SELECT 1");
    assert!(timeout(A_WHILE, question).await.is_err(), "a connection that was open before");
    assert!(timeout(A_WHILE, postgres_text(postgres.url(), "SELECT 'there'")).await.is_err(), "a new connection");
    assert!(postgres.is_running());
    postgres.resume()?;
    assert_eq!(postgres_text(postgres.url(), "SELECT 'there'").await?, "there");

    let redis = stack.redis().context("no Valkey")?;
    redis_set(redis.url(), "value").await?;
    redis.pause()?;
    assert!(timeout(A_WHILE, redis_get(redis.url())).await.is_err());
    redis.resume()?;
    assert_eq!(redis_get(redis.url()).await?.as_deref(), Some("value"));

    // One that is paused can be stopped all the same, and quickly.
    postgres.pause()?;
    timeout(Duration::from_secs(5), stack.stop()).await?
}

#[tokio::test]
async fn a_wiped_server_is_empty() -> Result<()> {
    let folder = Folder::new();
    let stack = Devstack::start(folder.options(), |_| {}).await?;
    let nats = stack.nats().context("no NATS")?;
    nats_publish(nats.url(), "sent").await?;
    nats.kill().await?;
    nats.start().await?;
    assert_eq!(nats_text(nats.url()).await?.as_deref(), Some("sent"), "a killed one keeps its streams");
    nats.wipe_and_start().await?;
    assert_eq!(nats_text(nats.url()).await?, None);

    let redis = stack.redis().context("no Valkey")?;
    redis_set(redis.url(), "value").await?;
    redis.wipe_and_start().await?;
    assert_eq!(redis_get(redis.url()).await?, None);

    assert!(stack.postgres().context("no PostgreSQL")?.wipe_and_start().await.is_err());
    stack.stop().await
}
