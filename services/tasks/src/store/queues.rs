//! Queues: their settings, and what waits and runs in them.

use std::time::Duration;

use sqlx::PgPool;
use taskyard_core::{limits, task::Namespace};

/// Counts stop here, so that a long queue does not make its list slow.
pub const COUNT_MAX: i64 = 100_000;

/// Makes a queue known. False: the namespace has as many as it may.
pub async fn queue_ensure(pool: &PgPool, namespace: Namespace, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with room as (
            select coalesce((select queues_max from tasks.namespaces where id = $1), $3) as queues_max
        ),
        made as (
            insert into tasks.queues (namespace, name)
            select $1, $2
            where (select count(*) from tasks.queues where namespace = $1) < (select queues_max from room)
            on conflict do nothing
            returning name
        )
        select (
            exists (select from made)
            or exists (select from tasks.queues where namespace = $1 and name = $2)
            or (select count(*) from tasks.queues where namespace = $1) < (select queues_max from room)
        ) as "is_known!"
        "#,
        namespace,
        name,
        limits::QUEUES_MAX.cast_signed(),
    )
    .fetch_one(pool)
    .await
}

/// A queue's settings, where they are not the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    pub namespace: Namespace,
    pub name: String,
    pub paused: bool,
    pub concurrency_max: Option<i32>,
}

/// Raised by every change of a queue's settings. Whoever reads it before the settings knows at least those.
pub async fn settings_revision(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("select settings from tasks.leader").fetch_one(pool).await
}

/// The queues that are paused or limited.
pub async fn queue_settings_list(pool: &PgPool) -> Result<Vec<QueueSettings>, sqlx::Error> {
    sqlx::query_as!(
        QueueSettings,
        r#"
        select namespace, name, paused, concurrency_max
        from tasks.queues
        where paused or concurrency_max is not null
        "#,
    )
    .fetch_all(pool)
    .await
}

/// Pauses or resumes a queue. False: there is none.
pub async fn queue_set_paused(
    pool: &PgPool,
    namespace: Namespace,
    name: &str,
    paused: bool,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        with settings as (
            update tasks.leader set settings = settings + 1
            where exists (select from tasks.queues where namespace = $1 and name = $2)
        )
        update tasks.queues set paused = $3 where namespace = $1 and name = $2
        "#,
        namespace,
        name,
        paused,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Sets how many tasks of a queue may run at once; `None` for no limit. False: there is no such queue.
pub async fn queue_set_concurrency(
    pool: &PgPool,
    namespace: Namespace,
    name: &str,
    concurrency_max: Option<i32>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        with settings as (
            update tasks.leader set settings = settings + 1
            where exists (select from tasks.queues where namespace = $1 and name = $2)
        )
        update tasks.queues set concurrency_max = $3 where namespace = $1 and name = $2
        "#,
        namespace,
        name,
        concurrency_max,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A queue as it stands.
#[derive(Clone, Debug)]
pub struct Queue {
    pub name: String,
    pub paused: bool,
    pub concurrency_max: Option<i32>,
    pub ready: i64,
    pub scheduled: i64,
    pub open: i64,
    pub running: i64,
    pub oldest_ready_age: Option<Duration>,
    pub workers: i64,
    pub worker_slots: i64,
}

/// Queues by name, after `after`; or the one named `only`.
pub async fn queue_list(
    pool: &PgPool,
    namespace: Namespace,
    after: &str,
    only: Option<&str>,
    rows_max: i64,
) -> Result<Vec<Queue>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        with page as materialized (
            select * from tasks.queues
            where namespace = $1 and name > $2 and ($3::text is null or name = $3)
            order by name
            limit $4
        ),
        -- Once for all queues of the page.
        waiting as materialized (
            select
                queue,
                count(*) filter (where state = 2) as scheduled,
                count(*) filter (where state = 1) as open,
                count(*) filter (where state = 4) as running
            from (
                (select state, queue from tasks.active where namespace = $1 and state = 2 limit $5)
                union all
                (select state, queue from tasks.active where namespace = $1 and state = 1 limit $5)
                union all
                (select state, queue from tasks.active where namespace = $1 and state = 4 limit $5)
            ) part
            group by queue
        )
        select
            p.name, p.paused, p.concurrency_max,
            coalesce(r.ready, 0)::bigint as "ready!",
            coalesce(w.scheduled, 0)::bigint as "scheduled!",
            coalesce(w.open, 0)::bigint as "open!",
            coalesce(w.running, 0)::bigint as "running!",
            extract(epoch from now() - r.oldest)::float8 as oldest_ready_age_s,
            s.workers as "workers!", s.slots as "slots!"
        from page p
        left join lateral (
            select count(*) as ready, min(due_at) as oldest
            from (
                select due_at from tasks.active a
                where a.namespace = p.namespace and a.queue = p.name and a.state = 3 limit $5
            ) part
        ) r on true
        left join waiting w on w.queue = p.name
        cross join lateral (
            select count(*) as workers, coalesce(sum(s.slots), 0)::bigint as slots
            from tasks.sessions s
            where s.namespace in (p.namespace, 0) and s.is_open and (s.queues = '{}' or p.name = any (s.queues))
        ) s
        order by p.name
        "#,
        namespace,
        after,
        only,
        rows_max,
        COUNT_MAX,
    )
    .fetch_all(pool)
    .await?;
    let queues = rows.into_iter().map(|row| Queue {
        name: row.name,
        paused: row.paused,
        concurrency_max: row.concurrency_max,
        ready: row.ready,
        scheduled: row.scheduled,
        open: row.open,
        running: row.running,
        oldest_ready_age: row.oldest_ready_age_s.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok()),
        workers: row.workers,
        worker_slots: row.slots,
    });
    Ok(queues.collect())
}
