//! A test's own corner, and what is left of it.

use anyhow::Result;
use async_nats::jetstream;
use fred::prelude::*;
use futures::TryStreamExt;
use sqlx::{Connection, Executor, PgConnection, Row};
use taskyard_testkit::{Sandbox, Servers, connect_nats};

#[tokio::test]
async fn two_sandboxes_see_nothing_of_each_other() -> Result<()> {
    let (one, other) = tokio::try_join!(Sandbox::shared(), Sandbox::shared())?;
    assert_ne!(one.prefix(), other.prefix());
    let mut in_one = PgConnection::connect(one.database_url()).await?;
    in_one.execute("CREATE TABLE mine (id int)").await?;
    let mut in_other = PgConnection::connect(other.database_url()).await?;
    assert!(in_other.execute("SELECT * FROM mine").await.is_err());
    one.close().await?;
    other.close().await
}

#[tokio::test]
async fn closing_leaves_nothing_behind() -> Result<()> {
    let servers = Servers::shared().await?;
    let neighbour = Sandbox::new(&servers).await?;
    fill(&neighbour).await?;
    let sandbox = Sandbox::new(&servers).await?;
    let prefix = sandbox.prefix().to_owned();
    // Open connections do not keep the database.
    let _connection = PgConnection::connect(sandbox.database_url()).await?;
    fill(&sandbox).await?;
    assert_eq!(left(&servers, &prefix).await?, (true, 1, 1));
    sandbox.close().await?;
    assert_eq!(left(&servers, &prefix).await?, (false, 0, 0));
    assert_eq!(left(&servers, neighbour.prefix()).await?, (true, 1, 1), "the neighbour's");
    neighbour.close().await
}

#[tokio::test]
async fn dropping_leaves_nothing_behind_either() -> Result<()> {
    let servers = Servers::shared().await?;
    let sandbox = Sandbox::new(&servers).await?;
    let prefix = sandbox.prefix().to_owned();
    let _connection = PgConnection::connect(sandbox.database_url()).await?;
    fill(&sandbox).await?;
    drop(sandbox);
    assert_eq!(left(&servers, &prefix).await?, (false, 0, 0));
    Ok(())
}

async fn fill(sandbox: &Sandbox) -> Result<()> {
    let context = jetstream::new(connect_nats(sandbox.nats_url()).await?);
    let name = format!("{}_EVENTS", sandbox.prefix().to_uppercase());
    let subjects = vec![format!("{}.events", sandbox.prefix())];
    context.create_stream(jetstream::stream::Config { name, subjects, ..Default::default() }).await?;

    let client = Client::new(Config::from_url(sandbox.redis_url())?, None, None, None);
    client.init().await?;
    let () = client.set(format!("{}:cache", sandbox.prefix()), "value", None, None, false).await?;
    Ok(client.quit().await?)
}

/// Whether there is a database, and how many streams and keys.
async fn left(servers: &Servers, prefix: &str) -> Result<(bool, usize, usize)> {
    let mut connection = PgConnection::connect(servers.postgres_url()).await?;
    let database = prefix.replacen('t', "t_", 1);
    let found = sqlx::query("SELECT count(*) FROM pg_database WHERE datname = $1").bind(database);
    let databases: i64 = found.fetch_one(&mut connection).await?.try_get(0)?;

    let context = jetstream::new(connect_nats(servers.nats_url()).await?);
    let streams: Vec<String> = context.stream_names().try_collect().await?;
    let streams = streams.iter().filter(|name| name.starts_with(&prefix.to_uppercase())).count();

    let client = Client::new(Config::from_url(servers.redis_url())?, None, None, None);
    client.init().await?;
    let keys: Vec<Key> = client.scan_buffered(format!("{prefix}*"), None, None).try_collect().await?;
    client.quit().await?;
    Ok((databases == 1, streams, keys.len()))
}
