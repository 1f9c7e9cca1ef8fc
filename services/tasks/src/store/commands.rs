//! What people do to one task: cancel, complete by hand, retry, update, delete. Each is one statement that locks the
//! active row, or the finished one. What is done to many tasks at once stands in [`super::sweeps`].
//!
//! An empty answer means that the task did not stand so at that moment; the caller reads and decides.
//!
//! Documents and finished rows are looked up by parameters, never by a column of another row: see [`super`].

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::task::Namespace;
use uuid::Uuid;

use super::ready::ReadyTask;

/// What was canceled.
#[derive(Clone, Debug)]
pub struct Canceled {
    /// The run that has to be stopped, and whose it is.
    pub run: Option<(i32, Uuid)>,
    /// The pod that its worker's stream is on.
    pub pod: Option<String>,
    pub queue: String,
}

/// Cancels a waiting or running task. The reason is kept as its error.
pub async fn task_cancel(
    pool: &PgPool,
    namespace: Namespace,
    id: Uuid,
    version: Option<i32>,
    reason: Option<&str>,
) -> Result<Option<Canceled>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        with picked as materialized (
            select *
            from tasks.active
            where namespace = $1
                and id = $2
                and ($4::int is null or version = $4)
                and xact < pg_current_xact_id()::text::bigint
            for update
        ),
        gone as (
            delete from tasks.active a using picked p where a.namespace = p.namespace and a.id = p.id
        ),
        finished as (
            insert into tasks.finished (
                namespace, id, xact, due_at, started_at, finished_at, session, version, run, payload_bytes, state,
                priority, attempt, queue, kind, error
            )
            select
                namespace, id, pg_current_xact_id()::text::bigint, due_at, started_at, now(), session, version + 1, run,
                payload_bytes, 7, priority, attempt, queue, kind, $3
            from picked
        ),
        event as (
            insert into tasks.events (
                at, xact, namespace, epoch, task_id, version, run, type, from_state, to_state, attempt, returns, queue,
                kind, error
            )
            select
                now(), pg_current_xact_id()::text::bigint, namespace, (select max(epoch) from tasks.epochs), id,
                version + 1, run, 8, state, 7, attempt, returns, queue, kind, $3
            from picked
        )
        select
            p.queue as "queue!", p.run as "run!", p.state as "state!", p.session,
            (select s.pod from tasks.sessions s where s.id = p.session) as pod
        from picked p
        "#,
        namespace,
        id,
        reason,
        version,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Canceled {
        run: row.session.filter(|_| row.state == 4).map(|session| (row.run, session)),
        pod: row.pod,
        queue: row.queue,
    }))
}

/// Completes a manual task.
pub async fn task_complete_open(
    pool: &PgPool,
    namespace: Namespace,
    id: Uuid,
    version: Option<i32>,
    result: &[u8],
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query_scalar!(
        r#"
        with picked as materialized (
            select *
            from tasks.active
            where namespace = $1
                and id = $2
                and state = 1
                and ($4::int is null or version = $4)
                and xact < pg_current_xact_id()::text::bigint
            for update
        ),
        gone as (
            delete from tasks.active a using picked p where a.namespace = p.namespace and a.id = p.id
        ),
        finished as (
            insert into tasks.finished (
                namespace, id, xact, due_at, finished_at, version, run, payload_bytes, state, priority, attempt, queue,
                kind, result
            )
            select
                namespace, id, pg_current_xact_id()::text::bigint, due_at, now(), version + 1, run, payload_bytes, 5,
                priority, attempt, queue, kind, $3
            from picked
        ),
        event as (
            insert into tasks.events (
                at, xact, namespace, epoch, task_id, version, run, type, from_state, to_state, attempt, returns, queue,
                kind
            )
            select
                now(), pg_current_xact_id()::text::bigint, namespace, (select max(epoch) from tasks.epochs), id,
                version + 1, run, 6, 1, 5, attempt, returns, queue, kind
            from picked
        )
        select id as "id!" from picked
        "#,
        namespace,
        id,
        result,
        version,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.is_some())
}

/// Makes dead or canceled tasks active again, with all their attempts; the run number goes on. Returns those that are
/// ready now, manual ones aside, and how many there were. A version is that of a single task.
pub async fn task_revive_batch(
    pool: &PgPool,
    namespace: Namespace,
    ids: &[Uuid],
    version: Option<i32>,
) -> Result<(Vec<ReadyTask>, usize), sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        with found as materialized (
            select *, case when kind = 'manual' then 1 else 3 end::smallint as to_state
            from tasks.finished
            where namespace = $1
                and id = any ($2)
                and state in (6, 7)
                and ($3::int is null or version = $3)
                and xact < pg_current_xact_id()::text::bigint
            order by id
            for update
        ),
        document as materialized (
            select id, timeout_ms, backoff_ms, backoff_max_ms, attempts_max
            from tasks.documents
            where namespace = $1 and id = any ($2) and not is_deleted
        ),
        picked as materialized (
            select f.*, d.timeout_ms, d.backoff_ms, d.backoff_max_ms, d.attempts_max
            from found f
            join document d on d.id = f.id
        ),
        gone as (
            delete from tasks.finished where namespace = $1 and id = any (array(select id from picked))
        ),
        active as (
            insert into tasks.active (
                namespace, id, xact, due_at, version, run, timeout_ms, backoff_ms, backoff_max_ms, payload_bytes,
                state, priority, attempt, attempts_max, returns, queue, kind
            )
            select
                namespace, id, pg_current_xact_id()::text::bigint, now(), version + 1, run, timeout_ms, backoff_ms,
                backoff_max_ms, payload_bytes, to_state, priority, 0, attempts_max, 0, queue, kind
            from picked
        ),
        event as (
            insert into tasks.events (
                at, xact, namespace, epoch, task_id, due_at, version, run, type, from_state, to_state, attempt, returns,
                queue, kind, reason
            )
            select
                now(), pg_current_xact_id()::text::bigint, namespace, (select max(epoch) from tasks.epochs), id, now(),
                version + 1, run, 5, state, to_state, 0, 0, queue, kind, 'revived'
            from picked
        )
        select
            id as "id!", queue as "queue!", kind as "kind!", priority as "priority!", now() as "due_at!: DateTime<Utc>",
            version + 1 as "version!", payload_bytes as "payload_bytes!", to_state as "to_state!"
        from picked
        "#,
        namespace,
        ids,
        version,
    )
    .fetch_all(pool)
    .await?;
    let count = rows.len();
    let ready = rows.into_iter().filter(|row| row.to_state == 3).map(|row| ReadyTask {
        namespace,
        id: row.id,
        queue: row.queue,
        kind: row.kind,
        priority: row.priority,
        due_at: row.due_at,
        version: row.version,
        payload_bytes: row.payload_bytes,
    });
    Ok((ready.collect(), count))
}

/// New values; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct Update {
    pub title: Option<String>,
    pub description: Option<String>,
    pub labels: Option<BTreeMap<String, String>>,
    pub priority: Option<u8>,
    pub due_at: Option<DateTime<Utc>>,
    /// Only if the task has this version.
    pub version: Option<i32>,
}

/// What an update made of an active task, for the leader.
#[derive(Clone, Debug)]
pub enum Updated {
    /// It can start.
    Ready(ReadyTask),
    /// It waits for its time.
    Scheduled(DateTime<Utc>),
    /// Neither.
    Other,
}

/// Changes a task that is not finished. A due time moves only one that waits for a worker or its time.
pub async fn task_update_active(
    pool: &PgPool,
    namespace: Namespace,
    id: Uuid,
    update: &Update,
) -> Result<Option<Updated>, sqlx::Error> {
    let labels = update.labels.as_ref().map(super::labels_to_json);
    let row = sqlx::query!(
        r#"
        with picked as materialized (
            select
                *,
                case when $8::timestamptz is null then due_at else greatest($8, now()) end as new_due_at,
                case
                    when $8::timestamptz is null or state not in (2, 3) then state
                    when $8 > now() then 2
                    else 3
                end::smallint as new_state
            from tasks.active
            where namespace = $1
                and id = $2
                and ($3::int is null or version = $3)
                and ($8::timestamptz is null or state in (2, 3))
                and xact < pg_current_xact_id()::text::bigint
            for update
        ),
        active as (
            update tasks.active a
            set version = p.version + 1,
                priority = coalesce($7, p.priority),
                due_at = p.new_due_at,
                state = p.new_state,
                xact = pg_current_xact_id()::text::bigint
            from picked p
            where a.namespace = p.namespace and a.id = p.id
        ),
        document as (
            update tasks.documents d
            set title = coalesce($4, d.title),
                description = coalesce($5, d.description),
                labels = coalesce($6::text::jsonb, d.labels)
            from picked p
            where d.namespace = $1 and d.id = $2
                and ($4::text is not null or $5::text is not null or $6::text is not null)
        ),
        event as (
            insert into tasks.events (
                at, xact, namespace, epoch, task_id, due_at, version, run, type, from_state, to_state, attempt, returns,
                priority, queue, kind, title, description, labels
            )
            select
                now(), pg_current_xact_id()::text::bigint, namespace, (select max(epoch) from tasks.epochs), id,
                case when $8 is not null then new_due_at end, version + 1, run, 9, state, new_state, attempt, returns,
                $7, queue, kind, $4, $5, $6::text::jsonb
            from picked
        )
        select
            id as "id!", queue as "queue!", kind as "kind!", coalesce($7, priority) as "priority!",
            new_due_at as "due_at!: DateTime<Utc>", version + 1 as "version!", payload_bytes as "payload_bytes!",
            new_state as "state!"
        from picked
        "#,
        namespace,
        id,
        update.version,
        update.title,
        update.description,
        labels,
        update.priority.map(i16::from),
        update.due_at,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| match row.state {
        3 => Updated::Ready(ReadyTask {
            namespace,
            id: row.id,
            queue: row.queue,
            kind: row.kind,
            priority: row.priority,
            due_at: row.due_at,
            version: row.version,
            payload_bytes: row.payload_bytes,
        }),
        2 => Updated::Scheduled(row.due_at),
        _ => Updated::Other,
    }))
}

/// Changes the texts and labels of a finished task.
pub async fn task_update_finished(
    pool: &PgPool,
    namespace: Namespace,
    id: Uuid,
    update: &Update,
) -> Result<bool, sqlx::Error> {
    let labels = update.labels.as_ref().map(super::labels_to_json);
    let row = sqlx::query_scalar!(
        r#"
        with picked as materialized (
            select *
            from tasks.finished
            where namespace = $1
                and id = $2
                and ($3::int is null or version = $3)
                and xact < pg_current_xact_id()::text::bigint
            for update
        ),
        finished as (
            update tasks.finished f
            set version = p.version + 1, xact = pg_current_xact_id()::text::bigint
            from picked p
            where f.namespace = $1 and f.id = $2
        ),
        document as (
            update tasks.documents d
            set title = coalesce($4, d.title),
                description = coalesce($5, d.description),
                labels = coalesce($6::text::jsonb, d.labels)
            from picked p
            where d.namespace = $1 and d.id = $2
        ),
        event as (
            insert into tasks.events (
                at, xact, namespace, epoch, task_id, version, run, type, from_state, to_state, attempt, returns, queue,
                kind, title, description, labels
            )
            select
                now(), pg_current_xact_id()::text::bigint, namespace, (select max(epoch) from tasks.epochs), id,
                version + 1, run, 9, state, state, attempt, 0, queue, kind, $4, $5, $6::text::jsonb
            from picked
        )
        select id as "id!" from picked
        "#,
        namespace,
        id,
        update.version,
        update.title,
        update.description,
        labels,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.is_some())
}

/// Deletes a task that does not run. The emptied document stays, so that its id stays taken.
pub async fn task_delete(
    pool: &PgPool,
    namespace: Namespace,
    id: Uuid,
    version: Option<i32>,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query_scalar!(
        r#"
        with waiting as materialized (
            select namespace, id, version, run, state, attempt, returns, queue, kind
            from tasks.active
            where namespace = $1
                and id = $2
                and state <> 4
                and ($3::int is null or version = $3)
                and xact < pg_current_xact_id()::text::bigint
            for update
        ),
        done as materialized (
            select namespace, id, version, run, state, attempt, 0::smallint as returns, queue, kind
            from tasks.finished
            where namespace = $1
                and id = $2
                and ($3::int is null or version = $3)
                and xact < pg_current_xact_id()::text::bigint
            for update
        ),
        picked as materialized (
            select * from waiting union all select * from done
        ),
        active as (
            delete from tasks.active a using waiting p where a.namespace = p.namespace and a.id = p.id
        ),
        finished as (
            delete from tasks.finished f using done where f.namespace = $1 and f.id = $2
        ),
        document as (
            update tasks.documents d
            set is_deleted = true, title = '', description = '', labels = '{}', payload = ''
            from picked p
            where d.namespace = $1 and d.id = $2
        ),
        event as (
            insert into tasks.events (
                at, xact, namespace, epoch, task_id, version, run, type, from_state, attempt, returns, queue, kind
            )
            select
                now(), pg_current_xact_id()::text::bigint, namespace, (select max(epoch) from tasks.epochs), id,
                version + 1, run, 10, state, attempt, returns, queue, kind
            from picked
        )
        select id as "id!" from picked
        "#,
        namespace,
        id,
        version,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.is_some())
}
