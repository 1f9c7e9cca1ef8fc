//! One task, and the payloads of started runs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::{
    RetryPolicy,
    task::{Namespace, Task},
};
use uuid::Uuid;

/// Reads one task, with payload and result.
pub async fn task_read(pool: &PgPool, namespace: Namespace, id: Uuid) -> Result<Option<Task>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select
            d.queue, d.kind, d.title, d.description, d.labels::text as "labels!", d.creator, d.created_at,
            d.timeout_ms, d.backoff_ms, d.backoff_max_ms, d.attempts_max, d.payload,
            coalesce(a.state, f.state) as state,
            coalesce(a.priority, f.priority) as "priority!",
            coalesce(a.due_at, f.due_at) as due_at,
            coalesce(a.started_at, f.started_at) as started_at,
            f.finished_at as "finished_at?",
            coalesce(a.version, f.version) as "version!",
            coalesce(a.run, f.run) as "run!",
            coalesce(a.attempt, f.attempt) as "attempt!",
            coalesce(a.error, f.error) as error,
            f.result as "result?"
        from tasks.documents d
        left join tasks.active a on a.namespace = d.namespace and a.id = d.id
        left join tasks.finished f on f.namespace = d.namespace and f.id = d.id
        where d.namespace = $1 and d.id = $2 and not d.is_deleted
        "#,
        namespace,
        id,
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let Some(state) = row.state else { return Ok(None) };
    Ok(Some(Task {
        id,
        namespace,
        queue: row.queue,
        kind: row.kind,
        state: super::state(state)?,
        title: row.title,
        description: row.description,
        labels: super::labels_from_json(Some(&row.labels)),
        priority: u8::try_from(row.priority).unwrap_or(0),
        creator: row.creator,
        created_at: row.created_at,
        due_at: row.due_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
        timeout: super::duration(row.timeout_ms),
        retry: super::retry_policy(row.attempts_max, row.backoff_ms, row.backoff_max_ms),
        version: row.version.cast_unsigned(),
        run: row.run.cast_unsigned(),
        attempt: row.attempt.cast_unsigned(),
        error: row.error,
        payload: row.payload,
        result: row.result.unwrap_or_default(),
    }))
}

/// A started run, to be read for its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunKey {
    pub namespace: Namespace,
    pub id: Uuid,
    pub run: i32,
    pub session: Uuid,
}

/// What a worker needs to know of a run.
#[derive(Clone, Debug)]
pub struct RunDocument {
    pub key: RunKey,
    pub namespace_name: String,
    pub queue: String,
    pub kind: String,
    pub title: String,
    pub labels: BTreeMap<String, String>,
    pub attempt: i16,
    pub retry: RetryPolicy,
    pub timeout_ms: i32,
    pub created_at: DateTime<Utc>,
    pub payload: Vec<u8>,
}

/// Reads what was started, and drops what is not that run of that session any more. Locks nothing: a process that is
/// frozen while it reads holds up nobody.
pub async fn run_document_list(pool: &PgPool, runs: &[RunKey]) -> Result<Vec<RunDocument>, sqlx::Error> {
    let namespaces: Vec<i32> = runs.iter().map(|run| run.namespace).collect();
    let ids: Vec<Uuid> = runs.iter().map(|run| run.id).collect();
    let numbers: Vec<i32> = runs.iter().map(|run| run.run).collect();
    let sessions: Vec<Uuid> = runs.iter().map(|run| run.session).collect();
    let rows = sqlx::query!(
        r#"
        select
            a.namespace, a.id, a.run, a.session as "session!", a.attempt, d.queue, d.kind, d.title,
            nullif(d.labels, '{}')::text as labels, d.timeout_ms, d.backoff_ms, d.backoff_max_ms, d.attempts_max,
            d.created_at, d.payload, n.name as namespace_name
        from unnest($1::int[], $2::uuid[], $3::int[], $4::uuid[]) as i (namespace, id, run, session)
        join tasks.active a
            on a.namespace = i.namespace and a.id = i.id and a.state + 0 = 4 and a.run = i.run
                and a.session is not distinct from i.session
        join tasks.documents d on d.namespace = i.namespace and d.id = i.id
        -- apart, or the planner could begin here and read all of the namespace
        join lateral (select name from tasks.namespaces where id = i.namespace offset 0) n on true
        "#,
        &namespaces,
        &ids,
        &numbers,
        &sessions,
    )
    .fetch_all(pool)
    .await?;
    let documents = rows.into_iter().map(|row| RunDocument {
        key: RunKey { namespace: row.namespace, id: row.id, run: row.run, session: row.session },
        namespace_name: row.namespace_name,
        queue: row.queue,
        kind: row.kind,
        title: row.title,
        labels: super::labels_from_json(row.labels.as_deref()),
        attempt: row.attempt,
        retry: super::retry_policy(row.attempts_max, row.backoff_ms, row.backoff_max_ms),
        timeout_ms: row.timeout_ms,
        created_at: row.created_at,
        payload: row.payload,
    });
    Ok(documents.collect())
}
