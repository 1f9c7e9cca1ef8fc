//! The schema: bringing it up to date, and checking that it is new enough.

use std::time::Duration;

use sqlx::{Connection, PgConnection, migrate::Migrator, postgres::PgConnectOptions};
use taskyard_postgres::Failure;
use tokio::time::{Instant, sleep};

const MIGRATIONS_TABLE: &str = "tasks._sqlx_migrations";

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../../migrations/tasks");
    migrator.create_schema("tasks");
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    // A binary accepts a newer schema: old and new pods run side by side during an upgrade.
    migrator.set_ignore_missing(true);
    migrator
}

/// Applies the migrations that are missing, makes the first partitions and opens the first epoch. Waits so long for a
/// server that is not there yet.
pub async fn schema_migrate(url: &str, wait: Duration) -> anyhow::Result<()> {
    let options = taskyard_postgres::pool::options(url, "taskyard-migrate")?;
    let mut connection = connect(&options, wait).await?;
    migrator().run(&mut connection).await?;
    super::partitions::partition_ensure(&mut connection).await?;
    super::epoch::epoch_check(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

async fn connect(options: &PgConnectOptions, wait: Duration) -> Result<PgConnection, sqlx::Error> {
    let deadline = Instant::now() + wait;
    loop {
        match PgConnection::connect_with(options).await {
            Err(error) if Failure::of(&error) == Failure::Unknown && Instant::now() < deadline => {
                tracing::warn!(%error, "Postgres cannot be reached yet");
            }
            ended => return ended,
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// Whether the schema has all that this binary needs.
pub async fn schema_is_ready(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let needed = migrator().iter().map(|migration| migration.version).max().unwrap_or(0);
    // Not a checked query: the table is the migrator's, and may not be there yet.
    let exists: bool = sqlx::query_scalar("select to_regclass($1) is not null")
        .bind(MIGRATIONS_TABLE)
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(false);
    }
    sqlx::query_scalar("select coalesce(max(version) filter (where success), 0) >= $1 from tasks._sqlx_migrations")
        .bind(needed)
        .fetch_one(connection)
        .await
}
