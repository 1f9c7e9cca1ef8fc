//! The epoch of the event order: it changes when the database is another one than before.

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, PgPool};
use taskyard_core::{Position, task::Namespace};
use uuid::Uuid;

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
///
/// What was restored knows nothing of what came after the dump, an earlier restore of it included, while pods, streams
/// and readers may. So the numbers of the new epoch and of its terms are not simply the next ones: they lie beyond all
/// that were ever given, by the clock (the first epoch is 1; terms begin at 1 and come slower than seconds).
async fn open_next(connection: &mut PgConnection, only_if_other: bool) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // In the order of all our statements: starts hold the leader's row while they write events.
    sqlx::query!("select term from tasks.leader for update").fetch_one(&mut *transaction).await?;
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
        select
            (
                select case
                    when count(*) = 0 then 1
                    else greatest(max(epoch) + 1, extract(epoch from now() - timestamptz '2026-01-01')::int)
                end
                from tasks.epochs
            ),
            system_identifier, timeline
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
    let opened = opened.filter(|epoch| *epoch > 1);
    if let Some(epoch) = opened {
        sqlx::query!("update tasks.leader set term = greatest(term + 1, $1)", i64::from(epoch))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    if let Some(epoch) = opened {
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

/// Whether what a reader at this position has read is still what happened. Otherwise the position lies beyond the end of
/// a closed epoch, or its epoch is not known: the reader has seen what the restored database knows nothing of, and has
/// to read the state anew.
pub async fn epoch_has_position(pool: &PgPool, position: Position) -> Result<bool, sqlx::Error> {
    if position == Position::default() {
        // Before all that ever happened.
        return Ok(true);
    }
    sqlx::query_scalar!(
        r#"
        select exists (
            select from tasks.epochs
            where epoch = $1
                and (closed_xact is null or ($2, $3) <= (coalesce(last_xact, 0), coalesce(last_seq, 0)))
        ) as "has!"
        "#,
        position.epoch,
        position.xact,
        position.seq,
    )
    .fetch_one(pool)
    .await
}

/// Whether rows may bear the ids of transactions that this server has not come to yet: they were restored from a
/// server that was further. Such a row would not be changed by anybody, as a newer transaction seems to have it.
pub async fn epoch_rows_are_ahead(pool: &PgPool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select coalesce(max(last_xact), 0) >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "are_ahead!"
        from tasks.epochs
        "#,
    )
    .fetch_one(pool)
    .await
}

/// Gives rows that are ahead an id that is not, among the next `rows_max` rows behind a place, in
/// the order of their keys. Returns where to go on, if there are more, and how many rows were ahead.
///
/// Under the lock no statement that writes events is committed with a higher id than ours, so what has one comes from
/// an earlier epoch.
pub async fn epoch_row_adopt_batch(
    pool: &PgPool,
    table: AdoptTable,
    (namespace, id): (Namespace, Uuid),
    rows_max: i64,
) -> Result<(Option<(Namespace, Uuid)>, i64), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query!("lock table tasks.events in share row exclusive mode").execute(&mut *transaction).await?;
    let (last_namespace, last_id, adopted) = match table {
        AdoptTable::Active => {
            let row = sqlx::query!(
                r#"
                with part as materialized (
                    select namespace, id from tasks.active where (namespace, id) > ($1, $2)
                    order by namespace, id limit $3
                ),
                ahead as materialized (
                    select a.namespace, a.id
                    from part p
                    cross join lateral (
                        select a.namespace, a.id from tasks.active a
                        where a.namespace = p.namespace and a.id = p.id
                            and a.xact >= pg_current_xact_id()::text::bigint
                        for no key update skip locked
                    ) a
                ),
                adopted as (
                    update tasks.active a set xact = 0 from ahead h
                    where a.namespace = h.namespace and a.id = h.id
                )
                select
                    (select namespace from part order by namespace desc, id desc limit 1) as namespace,
                    (select id from part order by namespace desc, id desc limit 1) as id,
                    (select count(*) from ahead) as "adopted!"
                "#,
                namespace,
                id,
                rows_max,
            )
            .fetch_one(&mut *transaction)
            .await?;
            (row.namespace, row.id, row.adopted)
        }
        AdoptTable::Finished => {
            let row = sqlx::query!(
                r#"
                with part as materialized (
                    select namespace, id from tasks.finished where (namespace, id) > ($1, $2)
                    order by namespace, id limit $3
                ),
                ahead as materialized (
                    select f.namespace, f.id
                    from part p
                    cross join lateral (
                        select f.namespace, f.id from tasks.finished f
                        where f.namespace = p.namespace and f.id = p.id
                            and f.xact >= pg_current_xact_id()::text::bigint
                        for no key update skip locked
                    ) f
                ),
                adopted as (
                    update tasks.finished f set xact = 0 from ahead h
                    where f.namespace = h.namespace and f.id = h.id
                )
                select
                    (select namespace from part order by namespace desc, id desc limit 1) as namespace,
                    (select id from part order by namespace desc, id desc limit 1) as id,
                    (select count(*) from ahead) as "adopted!"
                "#,
                namespace,
                id,
                rows_max,
            )
            .fetch_one(&mut *transaction)
            .await?;
            (row.namespace, row.id, row.adopted)
        }
    };
    transaction.commit().await?;
    Ok((last_namespace.zip(last_id), adopted))
}

/// The tables whose rows bear the id of the transaction that changed them last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdoptTable {
    /// Of tasks that are not finished.
    Active,
    /// Of those that are.
    Finished,
}
