//! Schedules: what people want of them, and where they stand.

pub mod row;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::{
    limits,
    schedule::{Definition, Schedule},
    task::Namespace,
};

use self::row::{Columns, Row};

/// The database's clock, which all ticks go by.
pub async fn clock_read(pool: &PgPool) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(pool).await
}

/// A schedule, and its number inside the database.
pub async fn schedule_read(
    pool: &PgPool,
    namespace: Namespace,
    name: &str,
) -> Result<Option<(i64, Schedule)>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select
            d.id, d.name, d.created_at, d.updated_at, d.creator, d.cron, d.time_zone, d.interval_ms, d.anchor_at,
            d.once_at, d.starts_at, d.ends_at, d.catch_up_max, d.skips_overlap, d.jitter_ms, d.priority,
            d.attempts_max, d.timeout_ms, d.backoff_ms, d.backoff_max_ms, d.queue, d.kind, d.title, d.description,
            d.labels::text as "labels!", d.payload, s.version, s.paused, s.next_at, s.last_task
        from tasks.schedules d
        join tasks.schedule_states s on s.schedule = d.id
        where d.namespace = $1 and d.name = $2
        "#,
        namespace,
        name,
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| Ok((row.id, row.read()?))).transpose()
}

/// Schedules by name, after `after`, without their payloads.
pub async fn schedule_list(
    pool: &PgPool,
    namespace: Namespace,
    after: &str,
    rows_max: i64,
) -> Result<Vec<Schedule>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select
            d.id, d.name, d.created_at, d.updated_at, d.creator, d.cron, d.time_zone, d.interval_ms, d.anchor_at,
            d.once_at, d.starts_at, d.ends_at, d.catch_up_max, d.skips_overlap, d.jitter_ms, d.priority,
            d.attempts_max, d.timeout_ms, d.backoff_ms, d.backoff_max_ms, d.queue, d.kind, d.title, d.description,
            d.labels::text as "labels!", ''::bytea as "payload!", s.version, s.paused, s.next_at, s.last_task
        from tasks.schedules d
        join tasks.schedule_states s on s.schedule = d.id
        where d.namespace = $1 and d.name > $2
        order by d.name
        limit $3
        "#,
        namespace,
        after,
        rows_max,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Row::read).collect()
}

/// What became of a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleCreated {
    /// It is there now.
    New,
    /// The name is known.
    Known,
    /// The namespace has as many as it may.
    TooMany,
}

/// Creates a schedule.
pub async fn schedule_create(
    pool: &PgPool,
    namespace: Namespace,
    name: &str,
    creator: &str,
    definition: &Definition,
    next_at: Option<DateTime<Utc>>,
    paused: bool,
) -> Result<ScheduleCreated, sqlx::Error> {
    let columns = Columns::of(definition);
    let row = sqlx::query!(
        r#"
        with definition as (
            insert into tasks.schedules (
                namespace, name, creator, cron, time_zone, interval_ms, anchor_at, once_at, starts_at, ends_at,
                catch_up_max, skips_overlap, jitter_ms, priority, attempts_max, timeout_ms, backoff_ms,
                backoff_max_ms, queue, kind, title, description, labels, payload
            )
            select
                $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                $23::text::jsonb, $24
            where (select count(*) from tasks.schedules where namespace = $1) < $25
            on conflict (namespace, name) do nothing
            returning id
        ),
        state as (
            insert into tasks.schedule_states (schedule, namespace, version, paused, next_at)
            select id, $1, 1, $26, $27 from definition
        )
        select
            exists (select from definition) as "is_new!",
            exists (select from tasks.schedules where namespace = $1 and name = $2) as "is_known!",
            (select count(*) from tasks.schedules where namespace = $1) >= $25 as "is_full!"
        "#,
        namespace,
        name,
        creator,
        columns.cron,
        columns.time_zone,
        columns.interval_ms,
        columns.anchor_at,
        columns.once_at,
        columns.starts_at,
        columns.ends_at,
        columns.catch_up_max,
        columns.skips_overlap,
        columns.jitter_ms,
        columns.priority,
        columns.attempts_max,
        columns.timeout_ms,
        columns.backoff_ms,
        columns.backoff_max_ms,
        columns.queue,
        columns.kind,
        columns.title,
        columns.description,
        columns.labels,
        columns.payload,
        i64::from(limits::SCHEDULES_MAX),
        paused,
        next_at,
    )
    .fetch_one(pool)
    .await?;
    Ok(match (row.is_new, row.is_known, row.is_full) {
        (true, ..) => ScheduleCreated::New,
        (_, false, true) => ScheduleCreated::TooMany,
        // Somebody made it at this moment, or just now.
        _ => ScheduleCreated::Known,
    })
}

/// Replaces what a schedule shall be, if it has this version. `next_at` is where it goes on if its times are other
/// ones; otherwise it stays where it is.
pub async fn schedule_update(
    pool: &PgPool,
    schedule: i64,
    version: u32,
    definition: &Definition,
    next_at: Option<Option<DateTime<Utc>>>,
) -> Result<bool, sqlx::Error> {
    let columns = Columns::of(definition);
    let done = sqlx::query!(
        r#"
        with state as (
            update tasks.schedule_states
            set version = version + 1, next_at = case when $3 then $4 else next_at end
            where schedule = $1 and version = $2
            returning schedule
        )
        update tasks.schedules
        set updated_at = now(), cron = $5, time_zone = $6, interval_ms = $7, anchor_at = $8, once_at = $9,
            starts_at = $10, ends_at = $11, catch_up_max = $12, skips_overlap = $13, jitter_ms = $14, priority = $15,
            attempts_max = $16, timeout_ms = $17, backoff_ms = $18, backoff_max_ms = $19, queue = $20, kind = $21,
            title = $22, description = $23, labels = $24::text::jsonb, payload = $25
        where id = $1 and exists (select from state)
        "#,
        schedule,
        version.cast_signed(),
        next_at.is_some(),
        next_at.flatten(),
        columns.cron,
        columns.time_zone,
        columns.interval_ms,
        columns.anchor_at,
        columns.once_at,
        columns.starts_at,
        columns.ends_at,
        columns.catch_up_max,
        columns.skips_overlap,
        columns.jitter_ms,
        columns.priority,
        columns.attempts_max,
        columns.timeout_ms,
        columns.backoff_ms,
        columns.backoff_max_ms,
        columns.queue,
        columns.kind,
        columns.title,
        columns.description,
        columns.labels,
        columns.payload,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Pauses a schedule, or lets it go on at `next_at`, if it has this version.
pub async fn schedule_set_paused(
    pool: &PgPool,
    schedule: i64,
    version: u32,
    paused: bool,
    next_at: Option<DateTime<Utc>>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        with state as (
            update tasks.schedule_states
            set version = version + 1, paused = $3, next_at = $4
            where schedule = $1 and version = $2
            returning schedule
        )
        update tasks.schedules set updated_at = now() where id = $1 and exists (select from state)
        "#,
        schedule,
        version.cast_signed(),
        paused,
        next_at,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Deletes a schedule and its history. Its tasks stay.
pub async fn schedule_delete(pool: &PgPool, namespace: Namespace, name: &str) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query_scalar!(
        r#"
        with known as materialized (
            select id from tasks.schedules where namespace = $1 and name = $2
        ),
        -- First what a tick locks, so that none comes in between.
        state as (
            delete from tasks.schedule_states where schedule = (select id from known) returning schedule
        ),
        definition as (
            delete from tasks.schedules where id = (select schedule from state) returning id
        ),
        ticks as (
            delete from tasks.schedule_ticks where schedule = (select id from definition)
        )
        select exists (select from definition) as "is_deleted!"
        "#,
        namespace,
        name,
    )
    .fetch_one(pool)
    .await?;
    Ok(deleted)
}
