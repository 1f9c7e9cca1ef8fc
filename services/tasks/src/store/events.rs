//! The event order: reading it from a position on.
//!
//! A position is (epoch, transaction, number). Only what lies below the oldest transaction under way is read, so that
//! a late commit never hides behind a position that was handed out.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::{Position, task::Namespace};
use uuid::Uuid;

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    pub position: Position,
    pub at: DateTime<Utc>,
    pub namespace: Namespace,
    pub task: Uuid,
    pub version: i32,
    pub event_type: i16,
    pub from_state: Option<i16>,
    pub to_state: Option<i16>,
    pub queue: String,
    pub kind: String,
    /// As it stands now; none if the task was deleted.
    pub title: Option<String>,
    /// As they stand now, as JSON; none if there are none.
    pub labels: Option<String>,
    pub creator: Option<String>,
    pub run: i32,
    pub attempt: i16,
    pub error: Option<String>,
    pub reason: Option<String>,
    pub is_counted: bool,
}

/// Events after a position, of all namespaces or of one, that are safe to hand out.
///
/// A closed epoch is read to its end, then the next one; `after` of an earlier epoch goes on in the next.
pub async fn event_list(
    pool: &PgPool,
    after: Position,
    namespace: Option<Namespace>,
    rows_max: i64,
) -> Result<Vec<Event>, sqlx::Error> {
    let rows = sqlx::query_as!(
        EventRow,
        r#"
        with page as materialized (
            select *
            from tasks.events e
            where (e.epoch, e.xact, e.seq) > ($1, $2, $3)
                and (
                    e.xact < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
                    or exists (
                        select from tasks.epochs p
                        where p.epoch = e.epoch
                            and p.closed_xact < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
                    )
                )
                and ($4::int is null or e.namespace = $4)
            order by e.epoch, e.xact, e.seq
            limit $5
        )
        select
            p.epoch as "epoch!", p.xact as "xact!", p.seq as "seq!", p.at as "at!", p.namespace as "namespace!",
            p.task_id as "task!", p.version as "version!", p.type as "event_type!", p.from_state, p.to_state,
            p.queue as "queue!", p.kind as "kind!", p.run as "run!", p.attempt as "attempt!", p.error, p.reason,
            p.is_counted as "is_counted!", d.title as "title?", nullif(d.labels, '{}')::text as labels,
            d.creator as "creator?"
        from page p
        left join tasks.documents d on d.namespace = p.namespace and d.id = p.task_id and not d.is_deleted
        order by p.epoch, p.xact, p.seq
        "#,
        after.epoch,
        after.xact,
        after.seq,
        namespace,
        rows_max,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(EventRow::into_event).collect())
}

/// The same for one task.
pub async fn event_list_of_task(
    pool: &PgPool,
    after: Position,
    namespace: Namespace,
    task: Uuid,
    rows_max: i64,
) -> Result<Vec<Event>, sqlx::Error> {
    let rows = sqlx::query_as!(
        EventRow,
        r#"
        with all_of_task as materialized (
            select * from tasks.events e where e.namespace = $4 and e.task_id = $5
        ),
        page as materialized (
            select *
            from all_of_task e
            where (e.epoch, e.xact, e.seq) > ($1, $2, $3)
                and (
                    e.xact < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
                    or e.epoch < (select max(epoch) from tasks.epochs)
                )
            order by e.epoch, e.xact, e.seq
            limit $6
        )
        select
            p.epoch as "epoch!", p.xact as "xact!", p.seq as "seq!", p.at as "at!", p.namespace as "namespace!",
            p.task_id as "task!", p.version as "version!", p.type as "event_type!", p.from_state, p.to_state,
            p.queue as "queue!", p.kind as "kind!", p.run as "run!", p.attempt as "attempt!", p.error, p.reason,
            p.is_counted as "is_counted!", d.title as "title?", nullif(d.labels, '{}')::text as labels,
            d.creator as "creator?"
        from page p
        left join tasks.documents d on d.namespace = p.namespace and d.id = p.task_id and not d.is_deleted
        order by p.epoch, p.xact, p.seq
        "#,
        after.epoch,
        after.xact,
        after.seq,
        namespace,
        task,
        rows_max,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(EventRow::into_event).collect())
}

struct EventRow {
    epoch: i32,
    xact: i64,
    seq: i64,
    at: DateTime<Utc>,
    namespace: i32,
    task: Uuid,
    version: i32,
    event_type: i16,
    from_state: Option<i16>,
    to_state: Option<i16>,
    queue: String,
    kind: String,
    run: i32,
    attempt: i16,
    error: Option<String>,
    reason: Option<String>,
    is_counted: bool,
    title: Option<String>,
    labels: Option<String>,
    creator: Option<String>,
}

impl EventRow {
    fn into_event(self) -> Event {
        Event {
            position: Position { epoch: self.epoch, xact: self.xact, seq: self.seq },
            at: self.at,
            namespace: self.namespace,
            task: self.task,
            version: self.version,
            event_type: self.event_type,
            from_state: self.from_state,
            to_state: self.to_state,
            queue: self.queue,
            kind: self.kind,
            title: self.title,
            labels: self.labels,
            creator: self.creator,
            run: self.run,
            attempt: self.attempt,
            error: self.error,
            reason: self.reason,
            is_counted: self.is_counted,
        }
    }
}

/// The position of the newest event that is safe to hand out; at the beginning of the epoch if it has none.
pub async fn event_newest(pool: &PgPool) -> Result<Position, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        with open as (
            select max(epoch) as epoch from tasks.epochs
        )
        select o.epoch as "epoch!", coalesce(e.xact, 0) as "xact!", coalesce(e.seq, 0) as "seq!"
        from open o
        left join lateral (
            select xact, seq from tasks.events e
            where e.epoch = o.epoch and e.xact < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
            order by e.epoch desc, e.xact desc, e.seq desc
            limit 1
        ) e on true
        "#,
    )
    .fetch_one(pool)
    .await?;
    Ok(Position { epoch: row.epoch, xact: row.xact, seq: row.seq })
}

/// The position of the oldest event that is kept, exclusive: reading from here reads all.
pub async fn event_oldest(pool: &PgPool) -> Result<Option<Position>, sqlx::Error> {
    let row = sqlx::query!("select epoch, xact, seq from tasks.events order by epoch, xact, seq limit 1")
        .fetch_optional(pool)
        .await?;
    Ok(row.map(|row| Position { epoch: row.epoch, xact: row.xact, seq: row.seq - 1 }))
}

/// Who holds up the readers of events.
#[derive(Clone, Debug)]
pub struct Holder {
    pub pid: i32,
    pub application: String,
    pub age_s: f64,
}

/// The oldest transaction under way that has written, if it is older than a second.
pub async fn event_holder(pool: &PgPool) -> Result<Option<Holder>, sqlx::Error> {
    sqlx::query_as!(
        Holder,
        r#"
        select
            pid as "pid!", coalesce(application_name, '') as "application!",
            extract(epoch from clock_timestamp() - xact_start)::float8 as "age_s!"
        from pg_stat_activity
        where backend_xid is not null and xact_start < clock_timestamp() - interval '1 second'
        order by age(backend_xid) desc
        limit 1
        "#,
    )
    .fetch_optional(pool)
    .await
}

/// How many events lie behind a position, counted up to a bound.
pub async fn event_count_after(pool: &PgPool, after: Position, rows_max: i64) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from (
            select from tasks.events e where (e.epoch, e.xact, e.seq) > ($1, $2, $3)
            order by e.epoch, e.xact, e.seq
            limit $4
        ) behind
        "#,
        after.epoch,
        after.xact,
        after.seq,
        rows_max,
    )
    .fetch_one(pool)
    .await
}
