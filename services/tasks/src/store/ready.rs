//! What waits: ready tasks for the leader, and tasks whose time has come.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use taskyard_core::task::Namespace;
use uuid::Uuid;

/// A task that can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyTask {
    pub namespace: Namespace,
    pub id: Uuid,
    pub queue: String,
    pub kind: String,
    pub priority: i16,
    pub due_at: DateTime<Utc>,
    pub version: i32,
    pub payload_bytes: i32,
}

/// The best ready tasks of a queue and kind, best first: priority, then due time, then id.
pub async fn task_ready_list(
    pool: &PgPool,
    namespace: Namespace,
    queue: &str,
    kind: &str,
    rows_max: i64,
) -> Result<Vec<ReadyTask>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select id, priority, due_at, version, payload_bytes
        from tasks.active
        where namespace = $1 and queue = $2 and kind = $3 and state = 3
        order by priority desc, due_at, id
        limit $4
        "#,
        namespace,
        queue,
        kind,
        rows_max,
    )
    .fetch_all(pool)
    .await?;
    let ready = rows.into_iter().map(|row| ReadyTask {
        namespace,
        id: row.id,
        queue: queue.to_owned(),
        kind: kind.to_owned(),
        priority: row.priority,
        due_at: row.due_at,
        version: row.version,
        payload_bytes: row.payload_bytes,
    });
    Ok(ready.collect())
}

/// The same behind a place (priority, due time, id), or from the beginning. Reading on spares the index entries of what
/// was started, which pile up at its beginning while somebody holds an old snapshot.
pub async fn task_ready_list_after(
    connection: &mut PgConnection,
    namespace: Namespace,
    queue: &str,
    kind: &str,
    after: Option<(i16, DateTime<Utc>, Uuid)>,
    rows_max: usize,
) -> Result<Vec<ReadyTask>, sqlx::Error> {
    let (priority, due_at, id) = after.map_or((None, None, None), |(p, d, i)| (Some(p), Some(d), Some(i)));
    let rows = sqlx::query!(
        r#"
        select id as "id!", priority as "priority!", due_at as "due_at!", version as "version!",
            payload_bytes as "payload_bytes!"
        from (
            (
                select id, priority, due_at, version, payload_bytes
                from tasks.active
                where namespace = $1 and queue = $2 and kind = $3 and state = 3
                    and priority = $4 and (due_at, id) > ($5, $6)
                order by priority desc, due_at, id
                limit $7
            )
            union all
            (
                select id, priority, due_at, version, payload_bytes
                from tasks.active
                where namespace = $1 and queue = $2 and kind = $3 and state = 3
                    and priority < coalesce($4, 100)
                order by priority desc, due_at, id
                limit $7
            )
        ) part
        order by priority desc, due_at, id
        limit $7
        "#,
        namespace,
        queue,
        kind,
        priority,
        due_at,
        id,
        i64::try_from(rows_max).unwrap_or(i64::MAX),
    )
    .fetch_all(connection)
    .await?;
    let ready = rows.into_iter().map(|row| ReadyTask {
        namespace,
        id: row.id,
        queue: queue.to_owned(),
        kind: kind.to_owned(),
        priority: row.priority,
        due_at: row.due_at,
        version: row.version,
        payload_bytes: row.payload_bytes,
    });
    Ok(ready.collect())
}

/// Those of some tasks that are ready.
pub async fn task_ready_get(
    connection: &mut PgConnection,
    tasks: &[(Namespace, Uuid)],
) -> Result<Vec<ReadyTask>, sqlx::Error> {
    let (namespaces, ids): (Vec<Namespace>, Vec<Uuid>) = tasks.iter().copied().unzip();
    let rows = sqlx::query!(
        r#"
        select a.namespace, a.id, a.queue, a.kind, a.priority, a.due_at, a.version, a.payload_bytes
        from unnest($1::integer[], $2::uuid[]) as input (namespace, id)
        cross join lateral (
            -- By the key, however few rows the planner takes to be ready.
            select * from tasks.active a where a.namespace = input.namespace and a.id = input.id and a.state + 0 = 3
        ) a
        "#,
        &namespaces,
        &ids,
    )
    .fetch_all(connection)
    .await?;
    let ready = rows.into_iter().map(|row| ReadyTask {
        namespace: row.namespace,
        id: row.id,
        queue: row.queue,
        kind: row.kind,
        priority: row.priority,
        due_at: row.due_at,
        version: row.version,
        payload_bytes: row.payload_bytes,
    });
    Ok(ready.collect())
}

/// The queues and kinds in which tasks are ready: one step of the ready index each.
pub async fn lane_list(pool: &PgPool) -> Result<Vec<(Namespace, String, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        with recursive lane as (
            (
                select namespace, queue, kind from tasks.active where state = 3
                order by namespace, queue, kind limit 1
            )
            union all
            select next.namespace, next.queue, next.kind
            from lane
            cross join lateral (
                select a.namespace, a.queue, a.kind
                from tasks.active a
                where a.state = 3 and (a.namespace, a.queue, a.kind) > (lane.namespace, lane.queue, lane.kind)
                order by a.namespace, a.queue, a.kind
                limit 1
            ) next
        )
        select namespace as "namespace!", queue as "queue!", kind as "kind!" from lane
        "#,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.namespace, row.queue, row.kind)).collect())
}

/// Tasks that became ready, and when the next one is due.
#[derive(Debug)]
pub struct Promoted {
    /// False if there is a newer term.
    pub leads: bool,
    pub ready: Vec<ReadyTask>,
    /// How long until the next one is due, by the database's clock.
    pub next_due_in_ms: Option<i64>,
}

/// Makes scheduled tasks ready whose time has come, by the database's clock, earliest first.
pub async fn task_promote_batch(pool: &PgPool, term: i64, rows_max: i64) -> Result<Promoted, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        with fence as materialized (
            select term from tasks.leader where term = $1 for key share
        ),
        due as materialized (
            select namespace, id
            from tasks.active
            where state = 2 and due_at <= now() and exists (select from fence)
            order by due_at
            limit $2
        ),
        sorted as materialized (
            select * from due order by namespace, id
        ),
        picked as materialized (
            select a.*
            from sorted d
            cross join lateral (
                select *
                from tasks.active a
                where a.namespace = d.namespace
                    and a.id = d.id
                    and a.state + 0 = 2
                    and a.due_at + interval '0' <= now()
                    and a.xact < pg_current_xact_id()::text::bigint
                for no key update
            ) a
        ),
        ready as (
            update tasks.active a
            set state = 3, version = a.version + 1, xact = pg_current_xact_id()::text::bigint
            from picked p
            where a.namespace = p.namespace and a.id = p.id
        ),
        event as (
            insert into tasks.events (
                at, xact, namespace, epoch, task_id, version, run, type, from_state, to_state, attempt, returns, queue,
                kind
            )
            select
                now(), pg_current_xact_id()::text::bigint, namespace, (select max(epoch) from tasks.epochs), id,
                version + 1, run, 2, 2, 3, attempt, returns, queue, kind
            from picked
        )
        select
            exists (select from fence) as "leads!",
            p.namespace as "namespace?", p.id as "id?", p.queue as "queue?", p.kind as "kind?",
            p.priority as "priority?", p.due_at as "due_at?: DateTime<Utc>", p.version + 1 as "version?",
            p.payload_bytes as "payload_bytes?",
            (
                select (extract(epoch from a.due_at - now()) * 1000)::bigint
                from tasks.active a where a.state = 2 and a.due_at > now() order by a.due_at limit 1
            ) as next_due_in_ms
        from (select) one left join picked p on true
        "#,
        term,
        rows_max,
    )
    .fetch_all(pool)
    .await?;
    let leads = rows.first().is_some_and(|row| row.leads);
    let next_due_in_ms = rows.first().and_then(|row| row.next_due_in_ms);
    let ready = rows.into_iter().filter_map(|row| {
        Some(ReadyTask {
            namespace: row.namespace?,
            id: row.id?,
            queue: row.queue?,
            kind: row.kind?,
            priority: row.priority?,
            due_at: row.due_at?,
            version: row.version?,
            payload_bytes: row.payload_bytes?,
        })
    });
    Ok(Promoted { leads, ready: ready.collect(), next_due_in_ms })
}
