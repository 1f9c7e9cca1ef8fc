//! Shared and private servers.

use std::sync::Arc;

use anyhow::Result;
use sqlx::{Connection, Executor, PgConnection, Row};
use taskyard_testkit::{Sandbox, Servers};

#[tokio::test]
async fn the_tests_of_a_process_share_servers_that_none_of_them_may_stop() -> Result<()> {
    let (first, second) = tokio::try_join!(Servers::shared(), Servers::shared())?;
    assert_eq!(first.postgres_url(), second.postgres_url());
    assert!(first.postgres().is_err() && first.redis().is_err() && first.nats().is_err());
    Ok(())
}

#[tokio::test]
async fn private_servers_have_settings_can_be_stopped_and_vanish() -> Result<()> {
    let servers = Servers::private(&[("max_connections", "37")]).await?;
    let sandbox = Sandbox::new(&servers).await?;
    let mut connection = PgConnection::connect(sandbox.database_url()).await?;
    let setting: String = connection.fetch_one("SHOW max_connections").await?.try_get(0)?;
    assert_eq!(setting, "37");

    servers.postgres()?.stop().await?;
    assert!(connection.execute("SELECT 1").await.is_err());
    servers.postgres()?.start().await?;
    servers.nats()?.pause()?;
    servers.redis()?.kill().await?;

    // Whatever state they are in, nothing of them stays.
    let pids: Vec<u32> = [servers.postgres()?, servers.nats()?].iter().filter_map(|server| server.pid()).collect();
    assert_eq!(pids.len(), 2);
    drop(sandbox);
    assert_eq!(Arc::strong_count(&servers), 1);
    drop(servers);
    assert!(pids.iter().all(|pid| !taskyard_devstack::process::is_alive(*pid)));
    Ok(())
}
