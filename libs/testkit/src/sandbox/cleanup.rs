//! What a test leaves behind in the servers.

use std::sync::Arc;

use anyhow::{Context, Result};
use async_nats::jetstream;
use fred::prelude::*;
use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::{Servers, connect_nats};

/// All that is one test's.
#[derive(Debug)]
pub(super) struct Belongings {
    pub(super) servers: Arc<Servers>,
    pub(super) database: String,
    pub(super) prefix: String,
}

impl Belongings {
    pub(super) async fn remove(self) -> Result<()> {
        let (postgres, nats, redis) =
            tokio::join!(Box::pin(self.drop_database()), Box::pin(self.delete_streams()), Box::pin(self.delete_keys()));
        postgres.context("the database of the test")?;
        nats.context("the streams of the test")?;
        redis.context("the keys of the test")
    }

    async fn drop_database(&self) -> Result<()> {
        let mut connection = PgConnection::connect(self.servers.postgres_url()).await?;
        let drop = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.database);
        connection.execute(AssertSqlSafe(drop)).await?;
        Ok(connection.close().await?)
    }

    async fn delete_streams(&self) -> Result<()> {
        let context = jetstream::new(connect_nats(self.servers.nats_url()).await?);
        let prefix = self.prefix.to_uppercase();
        let names: Vec<String> = context.stream_names().try_collect().await?;
        for name in names.iter().filter(|name| name.starts_with(&prefix)) {
            context.delete_stream(name).await?;
        }
        Ok(())
    }

    async fn delete_keys(&self) -> Result<()> {
        let client = Client::new(Config::from_url(self.servers.redis_url())?, None, None, None);
        client.init().await?;
        let pages = client.scan_buffered(format!("{}*", self.prefix), Some(1000), None);
        let keys: Vec<Key> = pages.try_collect().await?;
        if !keys.is_empty() {
            let () = client.unlink(keys).await?;
        }
        Ok(client.quit().await?)
    }
}
