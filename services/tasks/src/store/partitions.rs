//! Partitions of documents, finished rows, events and the search index: one a week, made two weeks ahead by any pod, dropped whole by
//! the leader once retention has passed.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgExecutor};
use taskyard_core::id;

/// Weeks behind and ahead that have partitions: a task's id may lie 7 days back and 5 minutes ahead.
const WEEKS_BEHIND: u64 = 2;
const WEEKS_AHEAD: u64 = 2;

/// A partitioned table and what it is partitioned by, in the order in which a week is let go: documents once nothing is
/// listed that needs them, and then what is made from documents.
pub const TABLES: [(&str, Key); 5] = [
    ("events", Key::Time),
    ("finished", Key::Id),
    ("documents", Key::Id),
    ("search", Key::Id),
    ("search_labels", Key::Id),
];

/// Whether a table only repeats what documents say, so that it is made from them.
pub fn is_index(table: &str) -> bool {
    table.starts_with("search")
}

#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// A UUIDv7: its time decides.
    Id,
    Time,
}

/// Makes the partitions that are missing around now.
pub async fn partition_ensure(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let this_week = week_of(Utc::now());
    let first = this_week - Days::new(7 * WEEKS_BEHIND);
    let around: Vec<NaiveDate> = (0..=WEEKS_BEHIND + WEEKS_AHEAD).map(|n| first + Days::new(7 * n)).collect();
    let there = partition_list(&mut *connection).await?;
    for (table, key) in TABLES {
        // Documents may be older than the tables that repeat them.
        let documents = there.iter().filter(|partition| is_index(table) && partition.table == "documents");
        let weeks: BTreeSet<NaiveDate> = around.iter().copied().chain(documents.map(|older| older.week)).collect();
        let has = |week| there.iter().any(|partition| partition.table == table && partition.week == week);
        for week in weeks.into_iter().filter(|week| !has(*week)) {
            partition_make(connection, table, key, week).await?;
        }
    }
    Ok(())
}

async fn partition_exists(connection: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select to_regclass($1) is not null").bind(name).fetch_one(connection).await
}

/// Created, then attached: so readers and writers of the table go on. One process at a time.
async fn partition_make(
    connection: &mut PgConnection,
    table: &str,
    key: Key,
    week: NaiveDate,
) -> Result<(), sqlx::Error> {
    let name = partition_name(table, week);
    let (from, to) = bounds(key, week);
    let mut transaction = connection.begin().await?;
    sqlx::query("select pg_advisory_xact_lock(hashtext('tasks.partitions'))").execute(&mut *transaction).await?;
    if !partition_exists(&mut transaction, &name).await? {
        let create = format!("create table {name} (like tasks.{table} including defaults)");
        sqlx::query(AssertSqlSafe(create)).execute(&mut *transaction).await?;
        let attach =
            format!("alter table tasks.{table} attach partition {name} for values from ('{from}') to ('{to}')");
        sqlx::query(AssertSqlSafe(attach)).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

fn week_of(time: DateTime<Utc>) -> NaiveDate {
    let date = time.date_naive();
    date - Days::new(u64::from(date.weekday().num_days_from_monday()))
}

/// Where the partition of a time begins.
pub fn starts_at(time: DateTime<Utc>) -> DateTime<Utc> {
    week_of(time).and_time(chrono::NaiveTime::MIN).and_utc()
}

/// Where the partition of a time ends.
pub fn ends_at(time: DateTime<Utc>) -> DateTime<Utc> {
    // Only at the end of what can be written as a date there is no later one.
    starts_at(time).checked_add_signed(TimeDelta::days(7)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn partition_name(table: &str, week: NaiveDate) -> String {
    format!("tasks.{table}_{}", week.format("%Y_%m_%d"))
}

fn bounds(key: Key, week: NaiveDate) -> (String, String) {
    let from = week.and_time(chrono::NaiveTime::MIN).and_utc();
    let to = from + TimeDelta::days(7);
    match key {
        Key::Id => (id::lower_bound(from).to_string(), id::lower_bound(to).to_string()),
        Key::Time => (from.to_rfc3339(), to.to_rfc3339()),
    }
}

/// A partition.
#[derive(Clone, Debug)]
pub struct Partition {
    pub table: &'static str,
    /// The first day.
    pub week: NaiveDate,
}

impl Partition {
    /// The name, with schema.
    pub fn name(&self) -> String {
        partition_name(self.table, self.week)
    }

    /// When its first row was made, at the earliest.
    pub fn starts_at(&self) -> DateTime<Utc> {
        self.week.and_time(chrono::NaiveTime::MIN).and_utc()
    }

    /// When its last row was made, at the latest.
    pub fn ends_at(&self) -> DateTime<Utc> {
        self.week.and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::days(7)
    }

    fn named(name: &str) -> Option<Self> {
        TABLES.iter().find_map(|(table, _)| {
            let week = name.strip_prefix(table)?.strip_prefix('_')?;
            Some(Self { table, week: NaiveDate::parse_from_str(week, "%Y_%m_%d").ok()? })
        })
    }
}

/// All partitions, oldest week first, each week's in the order of [`TABLES`].
pub async fn partition_list(executor: impl PgExecutor<'_>) -> Result<Vec<Partition>, sqlx::Error> {
    let names: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid \
         where c.relnamespace = 'tasks'::regnamespace and c.relkind = 'r' and not i.inhdetachpending",
    )
    .fetch_all(executor)
    .await?;
    let mut partitions: Vec<Partition> = names.iter().filter_map(|name| Partition::named(name)).collect();
    partitions
        .sort_by_key(|partition| (partition.week, TABLES.iter().position(|(table, _)| *table == partition.table)));
    Ok(partitions)
}

/// Detaches and drops a partition without holding up readers or writers. It is no part of its table from the first
/// moment on, also if this waits in vain for those who read it; [`partition_drop_detached`] goes on then.
pub async fn partition_drop(connection: &mut PgConnection, partition: &Partition) -> Result<(), sqlx::Error> {
    let name = partition.name();
    let detach = format!("alter table tasks.{} detach partition {name} concurrently", partition.table);
    sqlx::query(AssertSqlSafe(detach)).execute(&mut *connection).await?;
    sqlx::query(AssertSqlSafe(format!("drop table if exists {name}"))).execute(&mut *connection).await?;
    Ok(())
}

/// Ends what [`partition_drop`] began and was kept from ending, among partitions that ended before a time. (A younger
/// table that hangs loose may be one that a restore is about to attach.)
pub async fn partition_drop_detached(connection: &mut PgConnection, before: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let left: Vec<(String, bool)> = sqlx::query_as(
        "select c.relname::text, i.inhdetachpending is not null \
         from pg_class c left join pg_inherits i on i.inhrelid = c.oid \
         where c.relnamespace = 'tasks'::regnamespace and c.relkind = 'r' and i.inhdetachpending is not false",
    )
    .fetch_all(&mut *connection)
    .await?;
    for (name, is_pending) in left {
        let Some(partition) = Partition::named(&name).filter(|partition| partition.ends_at() < before) else {
            continue;
        };
        let name = partition.name();
        if is_pending {
            let detach = format!("alter table tasks.{} detach partition {name} finalize", partition.table);
            sqlx::query(AssertSqlSafe(detach)).execute(&mut *connection).await?;
        }
        sqlx::query(AssertSqlSafe(format!("drop table if exists {name}"))).execute(&mut *connection).await?;
    }
    Ok(())
}
