//! A long history: finished tasks with their documents and events, as if they had run in the last days.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::fleet::Servers;

const CHUNK: u64 = 50_000;

/// Inserts so many finished tasks.
pub async fn fill(servers: &Servers, tasks: u64) -> Result<()> {
    let bar = ProgressBar::new(tasks)
        .with_style(ProgressStyle::with_template("filling the history {wide_bar} {pos}/{len} {eta}")?);
    let mut done = 0;
    while done < tasks {
        let rows = CHUNK.min(tasks - done);
        sqlx::query(
            "with new as materialized (
                select uuidv7(random() * interval '-6 days') as id, n from generate_series(1, $1) n
            ), document as (
                insert into tasks.documents (namespace, id, created_at, timeout_ms, backoff_ms, backoff_max_ms,
                    attempts_max, fingerprint, queue, kind, creator, title, description, labels, payload)
                select 1, id, uuid_extract_timestamp(id), 3600000, 1000, 3600000, 10, id, 'default', 'noop', '',
                    'A finished task', '', '{}', '{}'
                from new
            ), finished as (
                insert into tasks.finished (namespace, id, xact, due_at, started_at, finished_at, version, run,
                    payload_bytes, state, priority, attempt, queue, kind, result)
                select 1, id, 1, uuid_extract_timestamp(id), uuid_extract_timestamp(id), uuid_extract_timestamp(id), 3,
                    1, 2, 5, 5, 0, 'default', 'noop', 'null'
                from new
            )
            insert into tasks.events (at, xact, namespace, epoch, task_id, version, run, type, from_state, to_state,
                attempt, returns, queue, kind)
            select now(), pg_current_xact_id()::text::bigint, 1, (select max(epoch) from tasks.epochs), id, v,
                least(v - 1, 1), (array[1, 3, 6])[v], (array[null, 3, 4])[v], (array[3, 4, 5])[v], 0, 0, 'default', 'noop'
            from new, generate_series(1, 3) v",
        )
        .bind(i64::try_from(rows)?)
        .execute(&servers.pool)
        .await?;
        done += rows;
        bar.set_position(done);
    }
    bar.finish_and_clear();
    sqlx::raw_sql("vacuum analyze tasks.documents, tasks.finished, tasks.events").execute(&servers.pool).await?;
    sqlx::raw_sql("checkpoint").execute(&servers.pool).await?;
    Ok(())
}
