//! Workers' lives: one row each, extended by any sign of life.

use std::time::Duration;

use sqlx::PgPool;
use taskyard_core::{RetryPolicy, identity::Caller, task::Namespace};
use uuid::Uuid;

/// What a worker says of itself.
#[derive(Clone, Debug)]
pub struct NewSession {
    pub id: Uuid,
    pub namespace: Namespace,
    /// Whose worker it is.
    pub caller: Caller,
    pub pod: String,
    pub name: String,
    pub queues: Vec<String>,
    pub kinds: Vec<String>,
    pub slots: i32,
}

/// Opens a session or takes it over from another connection, and returns the connection's number. `None`: the id
/// belongs to another namespace.
pub async fn session_open(pool: &PgPool, session: &NewSession, timeout: Duration) -> Result<Option<i32>, sqlx::Error> {
    let (key, sign_in) = match session.caller {
        Caller::Key { id } => (Some(id), None),
        Caller::User { sign_in, .. } => (None, Some(sign_in)),
        Caller::Service(_) => (None, None),
    };
    sqlx::query_scalar!(
        r#"
        insert into tasks.sessions as s (
            id, namespace, connection, is_open, expires_at, pod, name, queues, kinds, slots, key_id, sign_in
        )
        values ($1, $2, 1, true, now() + $3 * interval '1 second', $4, $5, $6, $7, $8, $9, $10)
        on conflict (id) do update
            set connection = s.connection + 1, is_open = true, expires_at = excluded.expires_at, pod = excluded.pod,
                name = excluded.name, queues = excluded.queues, kinds = excluded.kinds, slots = excluded.slots,
                closed_at = null, key_id = excluded.key_id, sign_in = excluded.sign_in
            where s.namespace = excluded.namespace
        returning connection
        "#,
        session.id,
        session.namespace,
        timeout.as_secs_f64(),
        session.pod,
        session.name,
        &session.queues,
        &session.kinds,
        session.slots,
        key,
        sign_in,
    )
    .fetch_optional(pool)
    .await
}

/// A connection of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    pub session: Uuid,
    pub connection: i32,
}

/// Extends sessions, each for what is left of its life since its last sign, and returns which ones: the others were
/// taken over or are closed, or whoever opened them may not any more.
pub async fn session_renew_batch(pool: &PgPool, sessions: &[(Connection, Duration)]) -> Result<Vec<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = sessions.iter().map(|(connection, _)| connection.session).collect();
    let numbers: Vec<i32> = sessions.iter().map(|(connection, _)| connection.connection).collect();
    let lives_s: Vec<f64> = sessions.iter().map(|(_, life)| life.as_secs_f64()).collect();
    sqlx::query_scalar!(
        r#"
        with alive as materialized (
            select s.id, i.life_s
            from unnest($1::uuid[], $2::int[], $3::float8[]) as i (id, connection, life_s)
            join tasks.sessions s on s.id = i.id and s.connection = i.connection
            where s.is_open
                and (
                    s.key_id is null
                    or exists (
                        select from tasks.keys k
                        where k.id = s.key_id
                            and k.revoked_at is null
                            and (k.expires_at is null or k.expires_at > now())
                    )
                )
                and (
                    s.sign_in is null
                    or exists (select from tasks.sign_ins u where u.id = s.sign_in and u.ended_at is null)
                )
            order by s.id
            for no key update of s
        )
        update tasks.sessions s set expires_at = now() + alive.life_s * interval '1 second'
        from alive where s.id = alive.id
        returning s.id
        "#,
        &ids,
        &numbers,
        &lives_s,
    )
    .fetch_all(pool)
    .await
}

/// Notes a changed number of slots, for people and the autoscaler.
pub async fn session_set_slots(pool: &PgPool, connection: Connection, slots: i32) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update tasks.sessions set slots = $3 where id = $1 and connection = $2",
        connection.session,
        connection.connection,
        slots,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Closes a session at its worker's goodbye. Returns the connection that its remaining runs go back under; `None` if
/// the session has been taken over.
pub async fn session_close(pool: &PgPool, connection: Connection) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        update tasks.sessions
        set connection = connection + 1, is_open = false, closed_at = now()
        where id = $1 and connection = $2
        returning connection
        "#,
        connection.session,
        connection.connection,
    )
    .fetch_optional(pool)
    .await
}

/// Closes sessions without life, for the leader of this term. The database's clock must lie between two bounds, so
/// that a clock that jumps expires nobody.
pub async fn session_expire_batch(
    pool: &PgPool,
    term: i64,
    clock: std::ops::Range<chrono::DateTime<chrono::Utc>>,
) -> Result<Vec<Connection>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        with fence as materialized (
            select term from tasks.leader where term = $1 for key share
        ),
        lapsed as materialized (
            select id
            from tasks.sessions
            where is_open and expires_at < now() and now() between $2 and $3 and exists (select from fence)
            order by id
            for update
        )
        update tasks.sessions s
        set connection = s.connection + 1, is_open = false, closed_at = now()
        from lapsed where s.id = lapsed.id and s.expires_at < now()
        returning s.id, s.connection
        "#,
        term,
        clock.start,
        clock.end,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| Connection { session: row.id, connection: row.connection }).collect())
}

/// A run that a session has, as the database sees it.
#[derive(Clone, Debug)]
pub struct SessionRun {
    pub namespace: Namespace,
    pub id: Uuid,
    pub run: i32,
    pub session: Uuid,
    /// Started more than 5 s ago, by the database's clock.
    pub is_settled: bool,
    pub attempt: i16,
    pub retry: RetryPolicy,
    pub queue: String,
    pub payload_bytes: i32,
}

/// What runs, of some sessions. Locks nothing.
pub async fn session_run_list(pool: &PgPool, sessions: &[Uuid]) -> Result<Vec<SessionRun>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select
            namespace, id, run, session as "session!", started_at < now() - interval '5 seconds' as "is_settled!",
            attempt, attempts_max, backoff_ms, backoff_max_ms, queue, payload_bytes
        from tasks.active
        where state = 4 and session = any ($1)
        "#,
        sessions,
    )
    .fetch_all(pool)
    .await?;
    let runs = rows.into_iter().map(|row| SessionRun {
        namespace: row.namespace,
        id: row.id,
        run: row.run,
        session: row.session,
        is_settled: row.is_settled,
        attempt: row.attempt,
        retry: super::retry_policy(row.attempts_max, row.backoff_ms, row.backoff_max_ms),
        queue: row.queue,
        payload_bytes: row.payload_bytes,
    });
    Ok(runs.collect())
}

/// What still runs of closed sessions, to go back.
pub async fn closed_session_run_list(pool: &PgPool, rows_max: i64) -> Result<Vec<super::returns::Return>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select a.namespace, a.id, a.run, s.id as session, s.connection
        from tasks.sessions s
        -- By session: the runs of open ones are many.
        cross join lateral (
            select * from tasks.active a where a.session = s.id and a.state = 4 limit $1
        ) a
        where not s.is_open
        limit $1
        "#,
        rows_max,
    )
    .fetch_all(pool)
    .await?;
    let runs = rows.into_iter().map(|row| super::returns::Return {
        namespace: row.namespace,
        id: row.id,
        run: row.run,
        session: row.session,
        connection: row.connection,
    });
    Ok(runs.collect())
}

/// Forgets sessions that were closed an hour ago and have no run.
pub async fn session_delete_closed(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        delete from tasks.sessions s
        where not s.is_open
            and s.closed_at < now() - interval '1 hour'
            and not exists (select from tasks.active a where a.session = s.id and a.state = 4)
        "#,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// The pod that an open session's stream was last seen on.
pub async fn session_pod(pool: &PgPool, session: Uuid) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!("select pod from tasks.sessions where id = $1 and is_open", session).fetch_optional(pool).await
}

/// The namespaces of runs that a session of a service of ours had, and that are over.
pub async fn session_ended_run_list(
    pool: &PgPool,
    session: Uuid,
    runs: &[(Uuid, i32)],
) -> Result<Vec<(Namespace, Uuid, i32)>, sqlx::Error> {
    let (ids, numbers): (Vec<Uuid>, Vec<i32>) = runs.iter().copied().unzip();
    let rows = sqlx::query!(
        r#"
        select n.id as namespace, r.id as "id!", r.run as "run!"
        from unnest($1::uuid[], $2::int[]) as r (id, run)
        cross join tasks.namespaces n
        where exists (select from tasks.documents d where d.namespace = n.id and d.id = r.id)
            and exists (
                select from tasks.events e
                where e.namespace = n.id and e.task_id = r.id and e.run = r.run and e.session = $3
            )
        "#,
        &ids,
        &numbers,
        session,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.namespace, row.id, row.run)).collect())
}
