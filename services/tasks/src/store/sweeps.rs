//! What people do to many tasks at once: cancel and complete those that a list has found. Each statement locks the active
//! rows by key, in order, and takes only those that still stand so; the caller lists anew what is left.
//!
//! Dead tasks are retried by [`super::commands::task_revive_batch`].

use sqlx::PgPool;
use taskyard_core::{TaskState, task::Namespace};
use uuid::Uuid;

use super::commands::Canceled;

/// Cancels those of these tasks that are in one of these states, and returns them.
pub async fn task_cancel_batch(
    pool: &PgPool,
    namespace: Namespace,
    ids: &[Uuid],
    states: &[TaskState],
    reason: Option<&str>,
) -> Result<Vec<(Uuid, Canceled)>, sqlx::Error> {
    let states: Vec<i32> = states.iter().map(|state| i32::from(*state as i16)).collect();
    let rows = sqlx::query!(
        r#"
        with picked as materialized (
            select *
            from tasks.active
            where namespace = $1
                and id = any ($2)
                and state + 0 = any ($3)
                and xact < pg_current_xact_id()::text::bigint
            order by id
            for update
        ),
        gone as (
            delete from tasks.active where namespace = $1 and id = any (array(select id from picked))
        ),
        finished as (
            insert into tasks.finished (
                namespace, id, xact, due_at, started_at, finished_at, session, version, run, payload_bytes, state,
                priority, attempt, queue, kind, error
            )
            select
                namespace, id, pg_current_xact_id()::text::bigint, due_at, started_at, now(), session, version + 1, run,
                payload_bytes, 7, priority, attempt, queue, kind, $4
            from picked
        ),
        event as (
            insert into tasks.events (
                at, xact, namespace, epoch, task_id, version, run, type, from_state, to_state, attempt, returns, queue,
                kind, error
            )
            select
                now(), pg_current_xact_id()::text::bigint, namespace, (select max(epoch) from tasks.epochs), id,
                version + 1, run, 8, state, 7, attempt, returns, queue, kind, $4
            from picked
        )
        select
            p.id as "id!", p.queue as "queue!", p.run as "run!", p.state as "state!", p.session,
            (select s.pod from tasks.sessions s where s.id = p.session) as pod
        from picked p
        "#,
        namespace,
        ids,
        &states,
        reason,
    )
    .fetch_all(pool)
    .await?;
    let canceled = rows.into_iter().map(|row| {
        let run = row.session.filter(|_| row.state == 4).map(|session| (row.run, session));
        (row.id, Canceled { run, pod: row.pod, queue: row.queue })
    });
    Ok(canceled.collect())
}

/// Completes those of these tasks that are open, all with the same result. Returns how many.
pub async fn task_complete_batch(
    pool: &PgPool,
    namespace: Namespace,
    ids: &[Uuid],
    result: &[u8],
) -> Result<usize, sqlx::Error> {
    let rows = sqlx::query_scalar!(
        r#"
        with picked as materialized (
            select *
            from tasks.active
            where namespace = $1 and id = any ($2) and state + 0 = 1 and xact < pg_current_xact_id()::text::bigint
            order by id
            for update
        ),
        gone as (
            delete from tasks.active where namespace = $1 and id = any (array(select id from picked))
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
        ids,
        result,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.len())
}
