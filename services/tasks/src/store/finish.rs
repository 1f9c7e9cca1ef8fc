//! Ends of runs: results, failures, and timeouts that the leader enforces.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use taskyard_core::{TaskState, task::Namespace};
use uuid::Uuid;

/// The end of one run.
#[derive(Clone, Debug)]
pub struct Finish {
    pub namespace: Namespace,
    pub id: Uuid,
    pub run: i32,
    pub session: Uuid,
    pub outcome: Outcome,
}

/// How it ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    Completed {
        /// A JSON document.
        result: Vec<u8>,
    },
    Failed {
        error: String,
        /// No further attempt.
        fatal: bool,
        /// The delay before the next attempt.
        delay: Duration,
    },
}

/// What became of a finish.
#[derive(Clone, Debug)]
pub enum Finished {
    /// It is written.
    Recorded {
        to: TaskState,
        queue: String,
        /// When a retry is due.
        due_at: Option<DateTime<Utc>>,
    },
    /// The run was reported before, by the same session.
    RecordedBefore,
    /// The run is not this session's.
    Refused,
    /// A newer transaction changed the row: into the next statement.
    Again,
}

/// Who says so.
#[derive(Clone, Copy, Debug)]
pub enum Reporter {
    /// The worker.
    Worker,
    /// The leader of this term: the run was too slow.
    Deadline { term: i64 },
}

/// Ends runs in one statement and says what became of each. No two may be of the same task.
pub async fn task_finish_batch(
    pool: &PgPool,
    reporter: Reporter,
    finishes: &[&Finish],
) -> Result<Vec<Finished>, sqlx::Error> {
    let mut written = write(pool, reporter, finishes).await?;
    let rest: Vec<&Finish> = finishes.iter().filter(|finish| !written.contains_key(&key_of(finish))).copied().collect();
    if !rest.is_empty() {
        written.extend(look_up(pool, &rest).await?);
    }
    Ok(finishes.iter().map(|finish| written.remove(&key_of(finish)).unwrap_or(Finished::Refused)).collect())
}

type Key = (Namespace, Uuid);

fn key_of(finish: &Finish) -> Key {
    (finish.namespace, finish.id)
}

async fn write(pool: &PgPool, reporter: Reporter, finishes: &[&Finish]) -> Result<HashMap<Key, Finished>, sqlx::Error> {
    // In the order in which all our statements lock rows.
    let mut finishes = finishes.to_vec();
    finishes.sort_unstable_by_key(|finish| key_of(finish));
    let namespaces: Vec<i32> = finishes.iter().map(|finish| finish.namespace).collect();
    let ids: Vec<Uuid> = finishes.iter().map(|finish| finish.id).collect();
    let runs: Vec<i32> = finishes.iter().map(|finish| finish.run).collect();
    let sessions: Vec<Uuid> = finishes.iter().map(|finish| finish.session).collect();
    let mut results: Vec<Option<&[u8]>> = Vec::with_capacity(finishes.len());
    let mut errors: Vec<Option<&str>> = Vec::with_capacity(finishes.len());
    let mut fatals: Vec<bool> = Vec::with_capacity(finishes.len());
    let mut delays_ms: Vec<i64> = Vec::with_capacity(finishes.len());
    for finish in &finishes {
        let (result, error, fatal, delay) = match &finish.outcome {
            Outcome::Completed { result } => (Some(result.as_slice()), None, false, Duration::ZERO),
            Outcome::Failed { error, fatal, delay } => (None, Some(error.as_str()), *fatal, *delay),
        };
        results.push(result);
        errors.push(error);
        fatals.push(fatal);
        delays_ms.push(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX));
    }
    let (reason, term) = match reporter {
        Reporter::Worker => (None, None),
        Reporter::Deadline { term } => (Some("timeout"), Some(term)),
    };
    let rows = sqlx::query!(
        r#"
        with fence as materialized (
            select term from tasks.leader where term = $9 for key share
        ),
        input as materialized (
            select * from unnest(
                $1::int[], $2::uuid[], $3::int[], $4::uuid[], $5::bytea[], $6::text[], $7::boolean[], $8::bigint[]
            ) as i (namespace, id, run, session, result, error, fatal, delay_ms)
            where $9::bigint is null or exists (select from fence)
        ),
        picked as materialized (
            select
                a.namespace, a.id, a.due_at, a.started_at, a.session, a.version + 1 as version, a.run,
                a.payload_bytes, a.priority, a.queue, a.kind, a.returns, i.result, i.error,
                a.attempt + (i.error is not null)::int::smallint as attempt,
                case
                    when i.error is null then 5
                    when i.fatal or a.attempt + 1 >= a.attempts_max then 6
                    else 2
                end::smallint as to_state,
                now() + i.delay_ms * interval '1 millisecond' as retry_at
            from input i
            cross join lateral (
                select *
                from tasks.active a
                where a.namespace = i.namespace
                    and a.id = i.id
                    and a.state + 0 = 4
                    and a.run = i.run
                    and a.session is not distinct from i.session
                    and a.xact < pg_current_xact_id()::text::bigint
                for update
            ) a
        ),
        gone as (
            delete from tasks.active a using picked p
            where p.to_state <> 2 and a.namespace = p.namespace and a.id = p.id
        ),
        finished as (
            insert into tasks.finished (
                namespace, id, xact, due_at, started_at, finished_at, session, version, run, payload_bytes, state,
                priority, attempt, queue, kind, error, result
            )
            select
                namespace, id, pg_current_xact_id()::text::bigint, due_at, started_at, now(), session, version, run,
                payload_bytes, to_state, priority, attempt, queue, kind, error, result
            from picked
            where to_state <> 2
        ),
        scheduled as (
            update tasks.active a
            set state = 2,
                version = p.version,
                attempt = p.attempt,
                due_at = p.retry_at,
                error = p.error,
                session = null,
                deadline_at = null,
                xact = pg_current_xact_id()::text::bigint
            from picked p
            where p.to_state = 2 and a.namespace = p.namespace and a.id = p.id
        ),
        event as (
            insert into tasks.events (
                at, xact, namespace, epoch, task_id, session, due_at, version, run, type, from_state, to_state,
                attempt, returns, is_counted, queue, kind, reason, error
            )
            select
                now(), pg_current_xact_id()::text::bigint, namespace, (select max(epoch) from tasks.epochs), id, session,
                case to_state when 2 then retry_at end, version, run,
                case to_state when 5 then 6 when 6 then 7 else 5 end, 4, to_state, attempt, returns,
                error is not null, queue, kind, $10, error
            from picked
        )
        select
            namespace as "namespace!", id as "id!", to_state as "to_state!", queue as "queue!", retry_at as "retry_at!"
        from picked
        "#,
        &namespaces,
        &ids,
        &runs,
        &sessions,
        &results as _,
        &errors as _,
        &fatals,
        &delays_ms,
        term,
        reason,
    )
    .fetch_all(pool)
    .await?;
    let finished = rows.into_iter().map(|row| {
        let to = super::state(row.to_state)?;
        let due_at = (to == TaskState::Scheduled).then_some(row.retry_at);
        Ok(((row.namespace, row.id), Finished::Recorded { to, queue: row.queue, due_at }))
    });
    finished.collect()
}

/// What matched no row: reported before, not the session's any more, or changed this moment.
async fn look_up(pool: &PgPool, finishes: &[&Finish]) -> Result<HashMap<Key, Finished>, sqlx::Error> {
    let namespaces: Vec<i32> = finishes.iter().map(|finish| finish.namespace).collect();
    let ids: Vec<Uuid> = finishes.iter().map(|finish| finish.id).collect();
    let runs: Vec<i32> = finishes.iter().map(|finish| finish.run).collect();
    let sessions: Vec<Uuid> = finishes.iter().map(|finish| finish.session).collect();
    let rows = sqlx::query!(
        r#"
        select
            i.namespace as "namespace!", i.id as "id!",
            exists (
                select from tasks.active a
                where a.namespace = i.namespace and a.id = i.id
                    and a.state + 0 = 4 and a.run = i.run and a.session is not distinct from i.session
            ) as "runs!",
            exists (
                select from tasks.events e
                where e.namespace = i.namespace and e.task_id = i.id
                    and e.run = i.run and e.session = i.session and e.type in (5, 6, 7) and e.reason is null
            ) as "reported!"
        from unnest($1::int[], $2::uuid[], $3::int[], $4::uuid[]) as i (namespace, id, run, session)
        "#,
        &namespaces,
        &ids,
        &runs,
        &sessions,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let finished = match (row.runs, row.reported) {
                (true, _) => Finished::Again,
                (false, true) => Finished::RecordedBefore,
                (false, false) => Finished::Refused,
            };
            ((row.namespace, row.id), finished)
        })
        .collect())
}

/// A run that is too slow.
#[derive(Clone, Debug)]
pub struct Overdue {
    pub namespace: Namespace,
    pub id: Uuid,
    pub run: i32,
    pub session: Uuid,
    pub attempt: i16,
    pub retry: taskyard_core::RetryPolicy,
}

/// Runs past their deadline by 5 s, never before 20 s after the start. The database's clock must lie between two bounds,
/// so that a clock that jumps fails nothing.
pub async fn task_overdue_list(
    pool: &PgPool,
    clock: std::ops::Range<DateTime<Utc>>,
    rows_max: i64,
) -> Result<Vec<Overdue>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select
            namespace, id, run, session as "session!", attempt, attempts_max, backoff_ms, backoff_max_ms
        from tasks.active
        where state = 4
            and deadline_at < now() - interval '5 seconds'
            and started_at < now() - interval '20 seconds'
            and now() between $2 and $3
        order by deadline_at
        limit $1
        "#,
        rows_max,
        clock.start,
        clock.end,
    )
    .fetch_all(pool)
    .await?;
    let overdue = rows.into_iter().map(|row| Overdue {
        namespace: row.namespace,
        id: row.id,
        run: row.run,
        session: row.session,
        attempt: row.attempt,
        retry: super::retry_policy(row.attempts_max, row.backoff_ms, row.backoff_max_ms),
    });
    Ok(overdue.collect())
}

/// Moves the deadlines of what was started before the clock jumped, for the leader of this term. No change of a task:
/// its version stays. Returns how many there were.
pub async fn deadline_move(
    pool: &PgPool,
    term: i64,
    by: TimeDelta,
    started_before: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        with fence as materialized (
            select term from tasks.leader where term = $1 for key share
        ),
        running as materialized (
            select namespace, id from tasks.active
            where state = 4 and deadline_at is not null and started_at <= $3 and exists (select from fence)
            order by namespace, id
            for no key update
        )
        update tasks.active a set deadline_at = a.deadline_at + $2 * interval '1 millisecond'
        from running r where a.namespace = r.namespace and a.id = r.id and a.state = 4
        "#,
        term,
        by.num_milliseconds() as f64,
        started_before,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
