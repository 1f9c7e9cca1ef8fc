//! Runs that go back to their queue without a report.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::{TaskState, limits, task::Namespace};
use uuid::Uuid;

use super::ready::ReadyTask;

/// Why a run goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The session gave no sign of life. The one that spends an attempt.
    Expired,
    /// The worker does not hold it: its assignment was lost.
    NotHeld,
    /// The worker handed it back.
    HandedBack,
    /// The worker said goodbye.
    Goodbye,
}

impl Reason {
    /// As it is written in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotHeld => "not_held",
            Self::HandedBack => "handed_back",
            Self::Goodbye => "goodbye",
        }
    }
}

/// A run that goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Return {
    pub namespace: Namespace,
    pub id: Uuid,
    pub run: i32,
    pub session: Uuid,
    /// The session's connection, which must still be the newest.
    pub connection: i32,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Returned {
    pub namespace: Namespace,
    pub id: Uuid,
    pub run: i32,
    pub queue: String,
    /// Ready again, if an attempt was left.
    pub ready: Option<ReadyTask>,
}

/// Sends runs back in one statement that locks the sessions, then the active rows. What is not in the answer was no
/// longer that run of that session on that connection, or was changed by a newer transaction. With a term, only its
/// leader may.
pub async fn task_return_batch(
    pool: &PgPool,
    term: Option<i64>,
    reason: Reason,
    returns: &[Return],
) -> Result<Vec<Returned>, sqlx::Error> {
    let mut returns = returns.to_vec();
    returns.sort_unstable_by_key(|run| (run.namespace, run.id));
    let namespaces: Vec<i32> = returns.iter().map(|run| run.namespace).collect();
    let ids: Vec<Uuid> = returns.iter().map(|run| run.id).collect();
    let runs: Vec<i32> = returns.iter().map(|run| run.run).collect();
    let sessions: Vec<Uuid> = returns.iter().map(|run| run.session).collect();
    let connections: Vec<i32> = returns.iter().map(|run| run.connection).collect();
    let rows = sqlx::query!(
        r#"
        with fence as materialized (
            select term from tasks.leader where term = $6 for key share
        ),
        input as materialized (
            select * from unnest($1::int[], $2::uuid[], $3::int[], $4::uuid[], $5::int[])
                as i (namespace, id, run, session, connection)
            where $6::bigint is null or exists (select from fence)
        ),
        session as materialized (
            select s.id, s.connection
            from tasks.sessions s
            where s.id in (select session from input)
                and (s.id, s.connection) in (select session, connection from input)
            order by s.id
            for key share
        ),
        held as materialized (
            select * from input i where (i.session, i.connection) in (select id, connection from session)
        ),
        picked as materialized (
            select
                a.*, s.counted,
                case when s.counted and a.attempt + 1 >= a.attempts_max then 6 else 3 end::smallint as to_state
            from held h
            cross join lateral (
                select *
                from tasks.active a
                where a.namespace = h.namespace
                    and a.id = h.id
                    and a.state + 0 = 4
                    and a.run = h.run
                    and a.session is not distinct from h.session
                    and a.xact < pg_current_xact_id()::text::bigint
                for update
            ) a
            cross join lateral (select $7 or a.returns >= $8 as counted) s
        ),
        back as (
            update tasks.active a
            set state = 3,
                version = a.version + 1,
                attempt = a.attempt + p.counted::int::smallint,
                returns = a.returns + (not p.counted)::int::smallint,
                session = null,
                deadline_at = null,
                xact = pg_current_xact_id()::text::bigint
            from picked p
            where p.to_state = 3 and a.namespace = p.namespace and a.id = p.id
        ),
        gone as (
            delete from tasks.active a using picked p
            where p.to_state = 6 and a.namespace = p.namespace and a.id = p.id
        ),
        finished as (
            insert into tasks.finished (
                namespace, id, xact, due_at, started_at, finished_at, session, version, run, payload_bytes, state,
                priority, attempt, queue, kind, error
            )
            select
                namespace, id, pg_current_xact_id()::text::bigint, due_at, started_at, now(), session, version + 1, run,
                payload_bytes, 6, priority, attempt + 1, queue, kind, 'the worker was lost (' || $9 || ')'
            from picked
            where to_state = 6
        ),
        event as (
            insert into tasks.events (
                at, xact, namespace, epoch, task_id, session, version, run, type, from_state, to_state, attempt,
                returns, is_counted, queue, kind, reason, error
            )
            select
                now(), pg_current_xact_id()::text::bigint, namespace, (select max(epoch) from tasks.epochs), id, session,
                version + 1, run, case to_state when 6 then 7 else 4 end, 4, to_state,
                attempt + counted::int::smallint, returns + (not counted)::int::smallint, counted, queue, kind, $9,
                case to_state when 6 then 'the worker was lost (' || $9 || ')' end
            from picked
        )
        select
            namespace as "namespace!", id as "id!", run as "run!", queue as "queue!", kind as "kind!",
            priority as "priority!", due_at as "due_at!: DateTime<Utc>", version + 1 as "version!",
            payload_bytes as "payload_bytes!", to_state as "to_state!"
        from picked
        "#,
        &namespaces,
        &ids,
        &runs,
        &sessions,
        &connections,
        term,
        reason == Reason::Expired,
        limits::RETURNS_UNCOUNTED_MAX,
        reason.as_str(),
    )
    .fetch_all(pool)
    .await?;
    let returned = rows.into_iter().map(|row| {
        let ready = (super::state(row.to_state)? == TaskState::Ready).then(|| ReadyTask {
            namespace: row.namespace,
            id: row.id,
            queue: row.queue.clone(),
            kind: row.kind,
            priority: row.priority,
            due_at: row.due_at,
            version: row.version,
            payload_bytes: row.payload_bytes,
        });
        Ok(Returned { namespace: row.namespace, id: row.id, run: row.run, queue: row.queue, ready })
    });
    returned.collect()
}
