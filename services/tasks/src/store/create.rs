//! New tasks.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::{
    TaskState, limits,
    task::{Namespace, NewTask, Start},
};
use uuid::Uuid;

/// A new task and where it belongs.
#[derive(Clone, Debug)]
pub struct Create {
    pub namespace: Namespace,
    pub creator: String,
    pub task: NewTask,
}

/// What became of a create.
#[derive(Clone, Debug)]
pub enum Created {
    /// It is there now.
    New { state: TaskState, created_at: DateTime<Utc>, due_at: DateTime<Utc> },
    /// It was there, with the same content; `id` is another than the given one if the idempotency key was known.
    Known { id: Uuid },
    /// The id belongs to a task with other content, or to a deleted one.
    IdTaken,
    /// The idempotency key was used with other content, or for a task that was deleted.
    KeyReused,
    /// Somebody creates the same at this moment.
    Again,
}

/// Creates tasks in one statement, skipping what is known, and says what became of each. No two may share an id or a
/// key.
pub async fn task_create_batch(pool: &PgPool, creates: &[&Create]) -> Result<Vec<Created>, sqlx::Error> {
    let new = insert(pool, creates).await?;
    if new.len() == creates.len() {
        return Ok(creates.iter().filter_map(|create| new.get(&key_of(create)).cloned()).collect());
    }
    let mut known = look_up(pool, creates).await?;
    Ok(creates
        .iter()
        .map(|create| {
            let key = key_of(create);
            new.get(&key).cloned().or_else(|| known.remove(&key)).unwrap_or(Created::Again)
        })
        .collect())
}

type Key = (Namespace, Uuid);

fn key_of(create: &Create) -> Key {
    (create.namespace, create.task.id)
}

async fn insert(pool: &PgPool, creates: &[&Create]) -> Result<HashMap<Key, Created>, sqlx::Error> {
    // In the order of their keys, so that two groups that insert the same never wait for each other in a circle.
    let mut creates = creates.to_vec();
    creates.sort_unstable_by(|a, b| (&a.task.idempotency_key, key_of(a)).cmp(&(&b.task.idempotency_key, key_of(b))));
    let tasks = || creates.iter().map(|create| &create.task);
    let namespaces: Vec<i32> = creates.iter().map(|create| create.namespace).collect();
    let creators: Vec<&str> = creates.iter().map(|create| create.creator.as_str()).collect();
    let ids: Vec<Uuid> = tasks().map(|task| task.id).collect();
    let keys: Vec<Option<&str>> = tasks().map(|task| task.idempotency_key.as_deref()).collect();
    let fingerprints: Vec<Uuid> = tasks().map(|task| Uuid::from_bytes(task.fingerprint)).collect();
    let queues: Vec<&str> = tasks().map(|task| task.queue.as_str()).collect();
    let kinds: Vec<&str> = tasks().map(|task| task.kind.as_str()).collect();
    let titles: Vec<&str> = tasks().map(|task| task.title.as_str()).collect();
    let descriptions: Vec<&str> = tasks().map(|task| task.description.as_str()).collect();
    let labels: Vec<String> = tasks().map(|task| super::labels_to_json(&task.labels)).collect();
    let payloads: Vec<&[u8]> = tasks().map(|task| task.payload.as_slice()).collect();
    let priorities: Vec<i16> = tasks().map(|task| i16::from(task.priority)).collect();
    let due_times: Vec<Option<DateTime<Utc>>> =
        tasks().map(|task| if let Start::At(time) = task.start { Some(time) } else { None }).collect();
    let delays_ms: Vec<Option<i64>> = tasks()
        .map(|task| if let Start::After(delay) = task.start { i64::try_from(delay.as_millis()).ok() } else { None })
        .collect();
    let timeouts_ms: Vec<i32> = tasks().map(|task| super::millis(task.timeout)).collect();
    let backoffs_ms: Vec<i32> = tasks().map(|task| super::millis(task.retry.backoff)).collect();
    let backoffs_max_ms: Vec<i32> = tasks().map(|task| super::millis(task.retry.backoff_max)).collect();
    let attempts_max: Vec<i16> =
        tasks().map(|task| i16::try_from(task.retry.attempts_max).unwrap_or(i16::MAX)).collect();
    let rows = sqlx::query!(
        r#"
        with input as materialized (
            -- greatest() passes over nulls
            select i.*, greatest(i.due_time, now() + i.delay_ms * interval '1 millisecond', now()) as due_at
            from unnest(
                $1::int[], $2::text[], $3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[],
                $9::text[], $10::text[], $11::bytea[], $12::smallint[], $13::timestamptz[], $14::bigint[], $15::int[],
                $16::int[], $17::int[], $18::smallint[]
            ) as i (
                namespace, creator, id, key, fingerprint, queue, kind, title, description, labels, payload, priority,
                due_time, delay_ms, timeout_ms, backoff_ms, backoff_max_ms, attempts_max
            )
            where not exists (select from tasks.documents d where d.namespace = i.namespace and d.id = i.id)
        ),
        keyed as (
            insert into tasks.idempotency_keys as known (namespace, key, fingerprint, task_id, expires_at)
            select namespace, key, fingerprint, id, now() + $19 * interval '1 second' from input where key is not null
            on conflict (namespace, key) do update
                set fingerprint = excluded.fingerprint, task_id = excluded.task_id, expires_at = excluded.expires_at
                where known.expires_at < now()
            returning namespace, task_id
        ),
        fresh as materialized (
            select *, case when kind = $20 then 1 when due_at > now() then 2 else 3 end::smallint as state
            from input
            where key is null or (namespace, id) in (select namespace, task_id from keyed)
        ),
        document as (
            insert into tasks.documents (
                namespace, id, created_at, timeout_ms, backoff_ms, backoff_max_ms, attempts_max, fingerprint, queue,
                kind, creator, title, description, labels, payload
            )
            select
                namespace, id, now(), timeout_ms, backoff_ms, backoff_max_ms, attempts_max, fingerprint, queue,
                kind, creator, title, description, labels::jsonb, payload
            from fresh
        ),
        active as (
            insert into tasks.active (
                namespace, id, xact, due_at, version, run, timeout_ms, backoff_ms, backoff_max_ms, payload_bytes,
                state, priority, attempt, attempts_max, returns, queue, kind
            )
            select
                namespace, id, pg_current_xact_id()::text::bigint, due_at, 1, 0, timeout_ms, backoff_ms,
                backoff_max_ms, length(payload), state, priority, 0, attempts_max, 0, queue, kind
            from fresh
        ),
        event as (
            insert into tasks.events (
                at, xact, namespace, epoch, task_id, due_at, version, run, type, to_state, attempt, returns, priority,
                queue, kind, title, description, labels
            )
            select
                now(), pg_current_xact_id()::text::bigint, namespace, (select max(epoch) from tasks.epochs), id, due_at,
                1, 0, 1, state, 0, 0, priority, queue, kind, title, description, labels::jsonb
            from fresh
        )
        select namespace as "namespace!", id as "id!", state as "state!", due_at as "due_at!", now() as "now!" from fresh
        "#,
        &namespaces,
        &creators as _,
        &ids,
        &keys as _,
        &fingerprints,
        &queues as _,
        &kinds as _,
        &titles as _,
        &descriptions as _,
        &labels,
        &payloads as _,
        &priorities,
        &due_times as _,
        &delays_ms as _,
        &timeouts_ms,
        &backoffs_ms,
        &backoffs_max_ms,
        &attempts_max,
        limits::IDEMPOTENCY_KEY_LIFE.as_secs() as f64,
        limits::KIND_MANUAL,
    )
    .fetch_all(pool)
    .await?;
    let created = rows.into_iter().map(|row| {
        let state = super::state(row.state)?;
        Ok(((row.namespace, row.id), Created::New { state, created_at: row.now, due_at: row.due_at }))
    });
    created.collect()
}

async fn look_up(pool: &PgPool, creates: &[&Create]) -> Result<HashMap<Key, Created>, sqlx::Error> {
    let namespaces: Vec<i32> = creates.iter().map(|create| create.namespace).collect();
    let ids: Vec<Uuid> = creates.iter().map(|create| create.task.id).collect();
    let keys: Vec<Option<&str>> = creates.iter().map(|create| create.task.idempotency_key.as_deref()).collect();
    let rows = sqlx::query!(
        r#"
        select
            i.namespace as "namespace!", i.id as "id!", k.fingerprint as "key_fingerprint?", k.task_id as "key_task?",
            d.fingerprint as "fingerprint?", d.is_deleted as "is_deleted?"
        from unnest($1::int[], $2::uuid[], $3::text[]) as i (namespace, id, key)
        left join tasks.idempotency_keys k
            on k.namespace = i.namespace and k.key = i.key and k.expires_at >= now()
        left join tasks.documents d on d.namespace = i.namespace and d.id = coalesce(k.task_id, i.id)
        "#,
        &namespaces,
        &ids,
        &keys as _,
    )
    .fetch_all(pool)
    .await?;
    let wanted: HashMap<Key, Uuid> =
        creates.iter().map(|create| (key_of(create), Uuid::from_bytes(create.task.fingerprint))).collect();
    Ok(rows
        .into_iter()
        .map(|row| {
            let key = (row.namespace, row.id);
            let wanted = wanted.get(&key).copied();
            // The document decides: a key is worth only what was created under it.
            let same = wanted.is_some() && row.fingerprint == wanted;
            let created = match (row.key_task, row.is_deleted) {
                (Some(id), Some(false)) if same && row.key_fingerprint == wanted => Created::Known { id },
                (Some(_), Some(_)) => Created::KeyReused,
                (None, Some(false)) if same => Created::Known { id: row.id },
                (None, Some(_)) => Created::IdTaken,
                (_, None) => Created::Again,
            };
            (key, created)
        })
        .collect())
}
