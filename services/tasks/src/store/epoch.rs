//! The epoch of the event order: it changes when the database is another one than before.

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, PgPool};
use taskyard_core::Position;

/// Compares the server with the one that the epoch was opened on, and opens a new epoch if it is another: the database
/// was restored there, or a replica was promoted. Runs on every new connection before its first write.
pub async fn epoch_check(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let is_current = sqlx::query_scalar!(
        r#"
        select e.system_identifier = c.system_identifier
            and e.timeline = ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint as "same!"
        from tasks.epochs e, pg_control_system() c
        order by e.epoch desc
        limit 1
        "#,
    )
    .fetch_optional(&mut *connection)
    .await?;
    if is_current == Some(true) {
        return Ok(());
    }
    open_next(connection, true).await
}

/// Opens a new epoch by command, after a restore that cannot be seen (a file-level copy back in time).
pub async fn epoch_advance(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    open_next(connection, false).await
}

/// Closes the epoch that is open and opens the next one. The lock waits for every statement that writes events: the
/// next ones read the new epoch.
async fn open_next(connection: &mut PgConnection, only_if_other: bool) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query!("lock table tasks.events in share row exclusive mode").execute(&mut *transaction).await?;
    let opened = sqlx::query_scalar!(
        r#"
        with server as (
            select
                system_identifier,
                ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint as timeline
            from pg_control_system()
        ),
        open as (
            select e.*, last.xact, last.seq
            from tasks.epochs e
            left join lateral (
                select xact, seq from tasks.events where epoch = e.epoch order by epoch desc, xact desc, seq desc limit 1
            ) last on true
            order by e.epoch desc limit 1
        ),
        closed as (
            update tasks.epochs e
            set closed_xact = pg_current_xact_id()::text::bigint, last_xact = o.xact, last_seq = o.seq
            from open o, server s
            where e.epoch = o.epoch
                and not ($1 and o.system_identifier = s.system_identifier and o.timeline = s.timeline)
        )
        insert into tasks.epochs (epoch, system_identifier, timeline)
        select coalesce((select max(epoch) from tasks.epochs), 0) + 1, system_identifier, timeline
        from server s
        where not exists (
            select from open o
            where $1 and o.system_identifier = s.system_identifier and o.timeline = s.timeline
        )
        returning epoch
        "#,
        only_if_other,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    transaction.commit().await?;
    if let Some(epoch) = opened.filter(|epoch| *epoch > 1) {
        tracing::warn!(epoch, "this is another database server than before: a new epoch of events begins");
    }
    Ok(())
}

/// An epoch.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    pub epoch: i32,
    pub opened_at: DateTime<Utc>,
    /// The last position, if the epoch is closed; at its very beginning if it has no event.
    pub closed_at: Option<Position>,
}

/// All epochs, oldest first.
pub async fn epoch_list(pool: &PgPool) -> Result<Vec<Epoch>, sqlx::Error> {
    let rows =
        sqlx::query!("select epoch, opened_at, closed_xact, last_xact, last_seq from tasks.epochs order by epoch")
            .fetch_all(pool)
            .await?;
    let epochs = rows.into_iter().map(|row| Epoch {
        epoch: row.epoch,
        opened_at: row.opened_at,
        closed_at: row.closed_xact.map(|_| Position {
            epoch: row.epoch,
            xact: row.last_xact.unwrap_or_default(),
            seq: row.last_seq.unwrap_or_default(),
        }),
    });
    Ok(epochs.collect())
}
