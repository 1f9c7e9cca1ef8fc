//! A test's own corner of servers that others use too.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use url::Url;

use crate::Servers;
use cleanup::Belongings;

mod background;
mod cleanup;

pub(crate) use background::block_on_elsewhere;

/// How long a dropped sandbox may take to clean up.
const CLEAN_WITHIN: Duration = Duration::from_secs(10);

/// A fresh database, and a prefix for names in Redis and NATS, for one test.
///
/// [`close`](Self::close) removes the database, the streams whose name starts with the prefix in upper case, and the
/// keys that start with the prefix. A sandbox that is dropped instead does so too, as well as it can.
#[derive(Debug)]
pub struct Sandbox {
    servers: Arc<Servers>,
    database_url: String,
    /// None once they are removed.
    belongings: Option<Belongings>,
    prefix: String,
}

impl Sandbox {
    /// A sandbox in the [shared](Servers::shared) servers.
    ///
    /// # Errors
    /// When the servers do not start, or the database cannot be made.
    pub async fn shared() -> Result<Self> {
        Self::new(&Servers::shared().await?).await
    }

    /// A sandbox in these servers.
    ///
    /// # Errors
    /// When the database cannot be made.
    pub async fn new(servers: &Arc<Servers>) -> Result<Self> {
        let random = format!("{:012x}", rand::random::<u64>() >> 16);
        let (database, prefix) = (format!("t_{random}"), format!("t{random}"));
        let mut url = Url::parse(servers.postgres_url()).context("DATABASE_URL is no url")?;
        url.set_path(&database);

        let mut connection = PgConnection::connect(servers.postgres_url()).await.context("cannot reach PostgreSQL")?;
        let create = AssertSqlSafe(format!("CREATE DATABASE \"{database}\""));
        connection.execute(create).await.context("cannot make a database for the test")?;
        connection.close().await?;
        Ok(Self {
            belongings: Some(Belongings { servers: Arc::clone(servers), database, prefix: prefix.clone() }),
            servers: Arc::clone(servers),
            database_url: url.into(),
            prefix,
        })
    }

    /// The servers it is in.
    pub fn servers(&self) -> &Arc<Servers> {
        &self.servers
    }

    /// The fresh database.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Redis, where keys and channels start with [`prefix`](Self::prefix).
    pub fn redis_url(&self) -> &str {
        self.servers.redis_url()
    }

    /// NATS, where subjects start with [`prefix`](Self::prefix), and streams with the same in upper case.
    pub fn nats_url(&self) -> &str {
        self.servers.nats_url()
    }

    /// `t` and twelve hexadecimal digits, different for each sandbox.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The three urls, as a process of ours wants them in its environment.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("DATABASE_URL", self.database_url().to_owned()),
            ("REDIS_URL", self.redis_url().to_owned()),
            ("NATS_URL", self.nats_url().to_owned()),
        ]
    }

    /// Removes all that is the test's, connections that are still open included.
    ///
    /// # Errors
    /// When something could not be removed.
    pub async fn close(mut self) -> Result<()> {
        match self.belongings.take() {
            Some(belongings) => belongings.remove().await,
            None => Ok(()),
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let Some(belongings) = self.belongings.take() else { return };
        // Private servers go with all that is in them, and may be stopped.
        if !self.servers.outlive_the_test() {
            return;
        }
        let database = belongings.database.clone();
        let removed = block_on_elsewhere(async move {
            tokio::time::timeout(CLEAN_WITHIN, belongings.remove()).await.context("it takes too long")?
        });
        if let Err(error) = removed {
            eprintln!("cannot clean up after the test with database {database}: {error:#}");
        }
    }
}
