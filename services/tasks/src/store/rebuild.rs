//! The events replayed, chunk by chunk, and compared with the rows: one statement folds a range of tasks and looks at
//! their rows in the same snapshot, so a task that changes at that moment is compared as truly as one that rests.
//!
//! Everything here only reads: it takes no transaction id, so it never holds up the readers of events.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::{id, task::Namespace};
use uuid::Uuid;

use super::partitions;

/// From when on nothing was dropped by retention: where the youngest of the tables' oldest partitions begins.
pub async fn kept_since(pool: &PgPool) -> Result<DateTime<Utc>, sqlx::Error> {
    let partitions = partitions::partition_list(pool).await?;
    let tables = partitions::TABLES.iter().filter(|(table, _)| !partitions::is_index(table));
    let oldest = tables.filter_map(|(table, _)| {
        partitions.iter().filter(|partition| partition.table == *table).map(partitions::Partition::starts_at).min()
    });
    Ok(oldest.max().unwrap_or(DateTime::<Utc>::MIN_UTC))
}

/// About how many events there are.
pub async fn event_count_estimate(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let count = sqlx::query_scalar!(
        r#"
        select coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint as "count!"
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'tasks.events'::regclass
        "#,
    )
    .fetch_one(pool)
    .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The next namespace that has events or tasks.
pub async fn namespace_next(pool: &PgPool, after: Namespace) -> Result<Option<Namespace>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select min(namespace)
        from (
            select min(namespace) as namespace from tasks.events where namespace > $1
            union all
            select min(namespace) from tasks.documents where namespace > $1
            union all
            select min(namespace) from tasks.active where namespace > $1
            union all
            select min(namespace) from tasks.finished where namespace > $1
        ) n
        "#,
        after,
    )
    .fetch_one(pool)
    .await
}

/// Some tasks of a namespace, by id: after the first, up to and with the last.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    pub namespace: Namespace,
    pub after: Uuid,
    pub to: Uuid,
}

/// The chunk that begins after a task and has about so many events, and documents, at most. Its end is the greatest id
/// if nothing lies behind it.
pub async fn chunk_next(pool: &PgPool, namespace: Namespace, after: Uuid, rows_max: i64) -> Result<Chunk, sqlx::Error> {
    let to = sqlx::query_scalar!(
        r#"
        select least(
            (
                select task_id from tasks.events where namespace = $1 and task_id > $2
                order by namespace, task_id offset $3 limit 1
            ),
            (
                select id from tasks.documents where namespace = $1 and id > $2
                order by namespace, id offset $3 limit 1
            )
        )
        "#,
        namespace,
        after,
        rows_max,
    )
    .fetch_one(pool)
    .await?;
    Ok(Chunk { namespace, after, to: to.unwrap_or(Uuid::max()) })
}

/// What a chunk came to.
#[derive(Debug, Default)]
pub struct Compared {
    pub tasks: i64,
    pub events: i64,
    /// Tasks of which retention has dropped events or rows.
    pub not_rebuildable: i64,
    pub difference_count: i64,
    /// The first of them.
    pub differences: Vec<Difference>,
}

/// Where the replayed events and the rows do not agree.
#[derive(Debug)]
pub struct Difference {
    pub id: Uuid,
    pub field: String,
    pub replayed: Option<String>,
    pub found: Option<String>,
}

/// Folds the events of a chunk's tasks, newest by version, and compares what they give with the rows.
pub async fn chunk_compare(
    pool: &PgPool,
    chunk: Chunk,
    kept_since: DateTime<Utc>,
    differences_max: i64,
) -> Result<Compared, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        with event as materialized (
            select * from tasks.events where namespace = $1 and task_id > $2 and task_id <= $3
        ),
        newest as materialized (
            select distinct on (task_id) task_id as id, version, xact, to_state, run, attempt, returns, queue, kind
            from event
            order by task_id, version desc
        ),
        folded as materialized (
            select
                task_id as id,
                count(*) as events,
                min(version) as first_version,
                min(at) filter (where type = 1) as created_at,
                max(version) filter (where reason = 'revived') as revived,
                max(version) filter (where type = 3) as started,
                (array_agg(at order by version desc) filter (where type = 3))[1] as started_at,
                (array_agg(session order by version desc) filter (where type = 3))[1] as session,
                -- the newest change of state, and whether it ended a run
                (array_agg(at order by version desc) filter (where type <> 9))[1] as moved_at,
                (array_agg(from_state = 4 order by version desc) filter (where type <> 9))[1] as was_running,
                (array_agg(error order by version desc) filter (where type in (1, 5, 6, 7, 8)))[1] as error,
                (array_agg(due_at order by version desc) filter (where due_at is not null))[1] as due_at,
                (array_agg(priority order by version desc) filter (where priority is not null))[1] as priority,
                (array_agg(title order by version desc) filter (where title is not null))[1] as title,
                (array_agg(description order by version desc) filter (where description is not null))[1] as description,
                (array_agg(labels order by version desc) filter (where labels is not null))[1] as labels
            from event
            group by task_id
        ),
        replayed as materialized (
            select
                n.*, f.events, f.first_version, f.created_at, f.due_at, f.priority, f.title, f.description, f.labels,
                f.error,
                case when f.started > coalesce(f.revived, 0) then f.started_at end as started_at,
                case when n.to_state >= 5 then f.moved_at end as finished_at,
                case when n.to_state = 4 or (n.to_state >= 5 and f.was_running) then f.session end as session
            from newest n
            join folded f on f.id = n.id
        ),
        document as materialized (
            select id, created_at, is_deleted, queue, kind, title, description, labels
            from tasks.documents where namespace = $1 and id > $2 and id <= $3
        ),
        standing as materialized (
            select
                id, 'active' as place, state, version, xact, run, attempt, returns, priority, queue, kind, due_at,
                started_at, null::timestamptz as finished_at, session, error
            from tasks.active where namespace = $1 and id > $2 and id <= $3
            union all
            select
                id, 'finished', state, version, xact, run, attempt, null, priority, queue, kind, due_at, started_at,
                finished_at, session, error
            from tasks.finished where namespace = $1 and id > $2 and id <= $3
        ),
        known as materialized (
            select id from replayed union select id from document union select id from standing
        ),
        place as materialized (
            select id, string_agg(place, ' and ' order by place) as place from standing group by id
        ),
        judged as materialized (
            select
                k.id,
                case
                    -- Of a time of which nothing was dropped.
                    when k.id >= $5 and coalesce(coalesce(d.created_at, r.created_at) >= $4, true) then
                        case
                            when r.id is null then 'unknown'
                            when r.first_version > 1 or r.events <> r.version then 'incomplete'
                            else 'whole'
                        end
                    when r.first_version = 1 and r.events = r.version
                        and (r.to_state is null or (d.id is not null and p.place is not null)) then 'whole'
                    else 'forgotten'
                end as verdict
            from known k
            left join replayed r on r.id = k.id
            left join document d on d.id = k.id
            left join place p on p.id = k.id
        ),
        difference as materialized (
            select j.id, 'events' as field, null as replayed, coalesce(p.place, 'document') as found
            from judged j
            left join place p on p.id = j.id
            where j.verdict = 'unknown'
            union all
            select j.id, 'events', r.events::text, r.version::text
            from judged j
            join replayed r on r.id = j.id
            where j.verdict = 'incomplete'
            union all
            select j.id, v.field, v.replayed, v.found
            from judged j
            join replayed r on r.id = j.id
            left join document d on d.id = j.id
            left join place p on p.id = j.id
            cross join lateral (
                values
                    (
                        'table',
                        case when r.to_state >= 5 then 'finished' when r.to_state is not null then 'active' end, p.place
                    ),
                    ('document', case when r.to_state is null then 'deleted' else 'there' end,
                        case
                            when d.is_deleted then 'deleted'
                            when d.id is not null then 'there'
                            -- retention empties what is left of a deleted task
                            when r.to_state is null then 'deleted'
                        end)
            ) v (field, replayed, found)
            where j.verdict = 'whole' and v.replayed is distinct from v.found
            union all
            select j.id, v.field, v.replayed, v.found
            from judged j
            join replayed r on r.id = j.id
            join standing w on w.id = j.id
            cross join lateral (
                values
                    ('state', r.to_state::text, w.state::text),
                    ('version', r.version::text, w.version::text),
                    ('xact', r.xact::text, w.xact::text),
                    ('run', r.run::text, w.run::text),
                    ('attempt', r.attempt::text, w.attempt::text),
                    ('returns', case when w.returns is not null then r.returns end::text, w.returns::text),
                    ('priority', r.priority::text, w.priority::text),
                    ('queue', r.queue, w.queue),
                    ('kind', r.kind, w.kind),
                    ('due_at', r.due_at::text, w.due_at::text),
                    ('started_at', r.started_at::text, w.started_at::text),
                    ('finished_at', r.finished_at::text, w.finished_at::text),
                    ('session', r.session::text, w.session::text),
                    ('error', r.error, w.error)
            ) v (field, replayed, found)
            where j.verdict = 'whole'
                and r.to_state is not null
                and (
                    r.to_state, r.version, r.xact, r.run, r.attempt, coalesce(w.returns, r.returns), r.priority, r.queue,
                    r.kind, r.due_at, r.started_at, r.finished_at, r.session, r.error
                ) is distinct from (
                    w.state, w.version, w.xact, w.run, w.attempt, r.returns, w.priority, w.queue,
                    w.kind, w.due_at, w.started_at, w.finished_at, w.session, w.error
                )
                and v.replayed is distinct from v.found
            union all
            select j.id, v.field, v.replayed, v.found
            from judged j
            join replayed r on r.id = j.id
            join document d on d.id = j.id and not d.is_deleted
            cross join lateral (
                values
                    ('created_at', r.created_at::text, d.created_at::text),
                    ('document.queue', r.queue, d.queue),
                    ('document.kind', r.kind, d.kind),
                    ('title', r.title, d.title),
                    ('description', r.description, d.description),
                    ('labels', r.labels::text, d.labels::text)
            ) v (field, replayed, found)
            where j.verdict = 'whole'
                and r.to_state is not null
                and (r.created_at, r.queue, r.kind, r.title, r.description, r.labels)
                    is distinct from (d.created_at, d.queue, d.kind, d.title, d.description, d.labels)
                and v.replayed is distinct from v.found
        )
        select
            (select count(*) from known) as "tasks!",
            (select count(*) from event) as "events!",
            (select count(*) from judged where verdict = 'forgotten') as "not_rebuildable!",
            (select count(*) from difference) as "difference_count!",
            f.id as "id?", f.field as "field?", left(f.replayed, 500) as replayed, left(f.found, 500) as found
        from (select) one
        left join lateral (select * from difference order by id, field limit $6) f on true
        "#,
        chunk.namespace,
        chunk.after,
        chunk.to,
        kept_since,
        id::lower_bound(kept_since),
        differences_max,
    )
    .fetch_all(pool)
    .await?;
    let Some(first) = rows.first() else { return Ok(Compared::default()) };
    let counts = (first.tasks, first.events, first.not_rebuildable, first.difference_count);
    let differences = rows.into_iter().filter_map(|row| {
        Some(Difference { id: row.id?, field: row.field?, replayed: row.replayed, found: row.found })
    });
    Ok(Compared {
        tasks: counts.0,
        events: counts.1,
        not_rebuildable: counts.2,
        difference_count: counts.3,
        differences: differences.collect(),
    })
}
