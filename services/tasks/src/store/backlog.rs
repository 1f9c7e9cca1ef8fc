//! What is ready and what runs, counted for all queues at once.

use std::time::Duration;

use sqlx::PgPool;
use taskyard_core::task::Namespace;

use super::ready;

/// Ready tasks of one queue and kind are counted up to this.
const COUNT_MAX: i64 = 10_000;

/// A queue and kind in which anything is ready or runs, with the queue's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    pub namespace: Namespace,
    pub namespace_name: String,
    pub queue: String,
    pub kind: String,
    pub ready: u64,
    pub running: u64,
    pub oldest_age: Duration,
    pub paused: bool,
    pub concurrency_max: Option<i32>,
}

/// All of them, those of a queue together.
pub async fn backlog_list(pool: &PgPool) -> Result<Vec<Lane>, sqlx::Error> {
    let (mut namespaces, mut queues, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    for (namespace, queue, kind) in ready::lane_list(pool).await? {
        namespaces.push(namespace);
        queues.push(queue);
        kinds.push(kind);
    }
    let rows = sqlx::query!(
        r#"
        with lane as materialized (
            select * from unnest($2::integer[], $3::text[], $4::text[]) as lane (namespace, queue, kind)
        ),
        counted as (
            select lane.*, part.ready, 0 as running, part.oldest
            from lane
            cross join lateral (
                select count(*) as ready, min(due_at) as oldest
                from (
                    select a.due_at
                    from tasks.active a
                    where a.namespace = lane.namespace
                        and a.queue = lane.queue
                        and a.kind = lane.kind
                        and a.state = 3
                    limit $1
                ) ready
            ) part
            union all
            select namespace, queue, kind, 0, count(*), null
            from tasks.active
            where state = 4
            group by namespace, queue, kind
        ),
        summed as (
            select namespace, queue, kind, sum(ready) as ready, sum(running) as running, min(oldest) as oldest
            from counted
            group by namespace, queue, kind
        )
        select
            s.namespace as "namespace!", n.name as namespace_name, s.queue as "queue!", s.kind as "kind!",
            s.ready::bigint as "ready!",
            s.running::bigint as "running!",
            coalesce(extract(epoch from now() - s.oldest), 0)::float8 as "oldest_age_s!",
            coalesce(q.paused, false) as "paused!", q.concurrency_max as "concurrency_max?"
        from summed s
        join tasks.namespaces n on n.id = s.namespace
        left join tasks.queues q on q.namespace = s.namespace and q.name = s.queue
        order by s.namespace, s.queue, s.kind
        "#,
        COUNT_MAX,
        &namespaces,
        &queues,
        &kinds,
    )
    .fetch_all(pool)
    .await?;
    let lanes = rows.into_iter().map(|row| Lane {
        namespace: row.namespace,
        namespace_name: row.namespace_name,
        queue: row.queue,
        kind: row.kind,
        ready: row.ready.max(0).cast_unsigned(),
        running: row.running.max(0).cast_unsigned(),
        oldest_age: Duration::try_from_secs_f64(row.oldest_age_s.max(0.0)).unwrap_or_default(),
        paused: row.paused,
        concurrency_max: row.concurrency_max,
    });
    Ok(lanes.collect())
}
