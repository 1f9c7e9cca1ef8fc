//! Starts: only the leader's, under its term.

use sqlx::PgConnection;
use taskyard_core::task::Namespace;
use uuid::Uuid;

/// A ready task and the worker that shall run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub namespace: Namespace,
    pub id: Uuid,
    /// The version at which the leader saw it ready.
    pub version: i32,
    pub session: Uuid,
    pub connection: i32,
}

/// What was started.
#[derive(Debug)]
pub struct Started {
    /// False if there is a newer term: the caller leads no more.
    pub leads: bool,
    /// The queues' settings are not those that the caller knows: nothing was started.
    pub settings_changed: bool,
    /// The sessions of the pairs that are there, on that connection.
    pub sessions: Vec<Uuid>,
    /// Task and run.
    pub runs: Vec<(Namespace, Uuid, i32)>,
}

/// Starts what can be started of the pairs, in one statement that locks the leader's row, then the sessions, then the
/// active rows.
pub async fn task_start_batch(
    connection: &mut PgConnection,
    term: i64,
    settings: i64,
    pairs: &[Pair],
) -> Result<Started, sqlx::Error> {
    let mut pairs = pairs.to_vec();
    pairs.sort_unstable_by_key(|pair| (pair.namespace, pair.id));
    let namespaces: Vec<i32> = pairs.iter().map(|pair| pair.namespace).collect();
    let ids: Vec<Uuid> = pairs.iter().map(|pair| pair.id).collect();
    let versions: Vec<i32> = pairs.iter().map(|pair| pair.version).collect();
    let sessions: Vec<Uuid> = pairs.iter().map(|pair| pair.session).collect();
    let connections: Vec<i32> = pairs.iter().map(|pair| pair.connection).collect();
    let row = sqlx::query!(
        r#"
        with fence as materialized (
            select settings from tasks.leader where term = $1 for key share
        ),
        pairs as materialized (
            select * from unnest($2::int[], $3::uuid[], $4::int[], $5::uuid[], $6::int[])
                as p (namespace, id, version, session, connection)
        ),
        alive as materialized (
            select s.id, s.connection, s.namespace
            from tasks.sessions s
            where s.id in (select session from pairs)
                and (s.id, s.connection) in (select session, connection from pairs)
                and s.is_open
                and exists (select from fence where settings = $7)
            order by s.id
            for key share
        ),
        -- Materialized between the locks, so that all sessions are locked before the first task is.
        paired as materialized (
            select * from pairs p
            where (p.session, p.connection, p.namespace) in (select id, connection, namespace from alive)
                -- A service's: for every namespace.
                or (p.session, p.connection) in (select id, connection from alive where namespace = 0)
        ),
        picked as materialized (
            select a.namespace, a.id, p.session
            from paired p
            cross join lateral (
                select a.namespace, a.id
                from tasks.active a
                where a.namespace = p.namespace
                    and a.id = p.id
                    and a.state + 0 = 3
                    and a.version = p.version
                    and a.xact < pg_current_xact_id()::text::bigint
                for no key update
            ) a
        ),
        started as (
            update tasks.active a
            set state = 4,
                run = a.run + 1,
                version = a.version + 1,
                xact = pg_current_xact_id()::text::bigint,
                session = p.session,
                started_at = now(),
                deadline_at = now() + a.timeout_ms * interval '1 millisecond'
            from picked p
            where a.namespace = p.namespace and a.id = p.id
            returning a.namespace, a.id, a.run, a.version, a.attempt, a.returns, a.queue, a.kind, a.session
        ),
        event as (
            insert into tasks.events (
                at, xact, namespace, epoch, task_id, session, version, run, type, from_state, to_state, attempt,
                returns, queue, kind
            )
            select
                now(), pg_current_xact_id()::text::bigint, namespace, (select max(epoch) from tasks.epochs), id,
                session, version, run, 3, 3, 4, attempt, returns, queue, kind
            from started
        )
        select
            exists (select from fence) as "leads!",
            exists (select from fence where settings <> $7) as "settings_changed!",
            array(select id from alive) as "sessions!",
            coalesce(array_agg(namespace), '{}') as "namespaces!",
            coalesce(array_agg(id), '{}') as "ids!",
            coalesce(array_agg(run), '{}') as "runs!"
        from started
        "#,
        term,
        &namespaces,
        &ids,
        &versions,
        &sessions,
        &connections,
        settings,
    )
    .fetch_one(connection)
    .await?;
    let runs = row.namespaces.into_iter().zip(row.ids).zip(row.runs).map(|((namespace, id), run)| (namespace, id, run));
    Ok(Started {
        leads: row.leads,
        settings_changed: row.settings_changed,
        sessions: row.sessions,
        runs: runs.collect(),
    })
}
