//! Replays all events and compares what they give with the tasks as they stand: the proof that the log is whole and
//! that nothing but the log made the tables what they are.
//!
//! It runs beside everything else. Each chunk of tasks is replayed and compared in one statement, in one snapshot, so a
//! task that changes meanwhile gives no false difference, and nothing has to be kept: no table of its own, no lock, no
//! transaction id that would hold up the readers of events.

use std::{fmt, time::Duration};

use sqlx::{PgPool, postgres::PgPoolOptions};
use taskyard_core::task::Namespace;
use uuid::Uuid;

use crate::store::rebuild;

/// Events, and documents, of one statement: about a tenth of a second.
const CHUNK_ROWS: i64 = 20_000;
/// Differences that are told one by one; the others are counted.
const DIFFERENCES_TOLD: usize = 100;
/// How often everything is begun anew because retention dropped something meanwhile.
const TRIES: u32 = 5;

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Events replayed so far.
    pub events: u64,
    /// How many there are, as the database estimates it; never less than were replayed.
    pub events_estimated: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Tasks that were looked at, those of which only events are left included.
    pub tasks: u64,
    /// Events that were replayed.
    pub events: u64,
    /// Tasks that cannot be compared: retention has dropped events or rows of theirs.
    pub not_rebuildable: u64,
    /// Fields in which replayed and found tasks differ.
    pub difference_count: u64,
    /// The first hundred of them.
    pub differences: Vec<Difference>,
}

/// A field in which the replayed task is another than the one that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The task's namespace.
    pub namespace: Namespace,
    /// The task.
    pub id: Uuid,
    /// A column; or `table` (active or finished), `document`, `events` (replayed: how many; found: the newest version).
    pub field: String,
    /// What the events give; none if they give nothing. Long ones are cut.
    pub replayed: Option<String>,
    /// What was found.
    pub found: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show =
            |value: &Option<String>| value.as_ref().map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"));
        let (replayed, found) = (show(&self.replayed), show(&self.found));
        write!(f, "task {} (namespace {}), {}: replayed {replayed}, found {found}", self.id, self.namespace, self.field)
    }
}

/// Replays and compares everything.
///
/// # Errors
/// If the database cannot be reached, or retention drops partitions again and again meanwhile.
pub async fn rebuild(database_url: &str, mut on_progress: impl FnMut(Progress)) -> anyhow::Result<Report> {
    let pool = connect(database_url).await?;
    for _ in 0..TRIES {
        let kept_since = rebuild::kept_since(&pool).await?;
        let report = compare_all(&pool, kept_since, &mut on_progress).await?;
        // What retention has dropped meanwhile would be told as missing.
        if rebuild::kept_since(&pool).await? == kept_since {
            pool.close().await;
            return Ok(report);
        }
    }
    anyhow::bail!("partitions were dropped in each of {TRIES} tries; try again later")
}

/// One connection that cannot write, with the plans that large statements need: the service's own go by an index row
/// by row.
async fn connect(database_url: &str) -> anyhow::Result<PgPool> {
    let options = taskyard_postgres::pool::options(database_url, "taskyard-admin")?.options([
        ("default_transaction_read_only", "on"),
        ("plan_cache_mode", "force_custom_plan"),
        ("enable_hashjoin", "on"),
        ("enable_mergejoin", "on"),
        ("transaction_timeout", "300s"),
        ("work_mem", "64MB"),
    ]);
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(10));
    Ok(pool.connect_with(options).await?)
}

async fn compare_all(
    pool: &PgPool,
    kept_since: chrono::DateTime<chrono::Utc>,
    on_progress: &mut impl FnMut(Progress),
) -> anyhow::Result<Report> {
    let estimated = rebuild::event_count_estimate(pool).await?;
    let mut report = Report::default();
    let mut after = Namespace::MIN;
    while let Some(namespace) = rebuild::namespace_next(pool, after).await? {
        let mut from = Uuid::nil();
        while from < Uuid::max() {
            let chunk = rebuild::chunk_next(pool, namespace, from, CHUNK_ROWS).await?;
            let room = i64::try_from(DIFFERENCES_TOLD - report.differences.len())?;
            let compared = rebuild::chunk_compare(pool, chunk, kept_since, room).await?;
            report.add(namespace, compared);
            on_progress(Progress { events: report.events, events_estimated: estimated.max(report.events) });
            from = chunk.to;
        }
        after = namespace;
    }
    Ok(report)
}

impl Report {
    fn add(&mut self, namespace: Namespace, compared: rebuild::Compared) {
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        self.tasks += count(compared.tasks);
        self.events += count(compared.events);
        self.not_rebuildable += count(compared.not_rebuildable);
        self.difference_count += count(compared.difference_count);
        self.differences.extend(compared.differences.into_iter().map(|difference| Difference {
            namespace,
            id: difference.id,
            field: difference.field,
            replayed: difference.replayed,
            found: difference.found,
        }));
    }
}
