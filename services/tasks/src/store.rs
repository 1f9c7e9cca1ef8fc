//! All SQL of the tasks service. Functions are named noun first, take the pool or a connection and return core types
//! or small structs; none of them opens a transaction of more than one statement, so that a paused process never holds
//! one open.
//!
//! Rows that are known by their key are found by the primary key, whatever the planner thinks of the partial indexes
//! while the table is small: `state + 0 = 4` and `session is not distinct from …` keep those out of its sight.
//!
//! A statement that locks, updates or deletes rows finds those of a partitioned table by parameters (`id = $2`,
//! `id = any ($2)`), never by a column of another row (`d.id = p.id`). For the latter PostgreSQL 18 picks the partition
//! while the statement runs, and when it then meets a row that another transaction has just changed, it reads freed
//! memory: the server crashes, with all connections. Statements that only read, or only insert, are safe.

use std::{collections::BTreeMap, time::Duration};

use taskyard_core::{RetryPolicy, TaskState};

pub mod administration;
pub mod anomalies;
pub mod backlog;
pub mod commands;
pub mod create;
pub mod epoch;
pub mod erase;
pub mod events;
pub mod finish;
pub mod identity;
pub mod keys;
pub mod leader;
pub mod list;
pub mod namespaces;
pub mod partitions;
pub mod queues;
pub mod read;
pub mod ready;
pub mod rebuild;
pub mod retention;
pub mod returns;
pub mod schedules;
pub mod schema;
pub mod search_find;
pub mod search_reader;
pub mod search_write;
pub mod sessions;
pub mod signing_keys;
pub mod start;
pub mod sweeps;
pub mod ticks;
pub mod users;

fn state(number: i16) -> Result<TaskState, sqlx::Error> {
    TaskState::from_number(number).ok_or_else(|| sqlx::Error::Decode(format!("{number} is not a task state").into()))
}

/// Milliseconds as the tables hold them; the limits keep all durations below 25 days.
fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn duration(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

fn labels_to_json(labels: &BTreeMap<String, String>) -> String {
    serde_json::to_string(labels).unwrap_or_else(|_| "{}".to_owned())
}

fn labels_from_json(json: Option<&str>) -> BTreeMap<String, String> {
    json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

fn retry_policy(attempts_max: i16, backoff_ms: i32, backoff_max_ms: i32) -> RetryPolicy {
    RetryPolicy {
        attempts_max: u16::try_from(attempts_max).unwrap_or(1),
        backoff: duration(backoff_ms),
        backoff_max: duration(backoff_max_ms),
    }
}
