//! What was kept long enough goes, and nothing else; also what an earlier drop left half done.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use chrono::{Datelike, Days, NaiveDate, NaiveTime, Utc};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use taskyard_core::{ErrorCode, id};
use taskyard_proto::v1::{Failed, ListTasksRequest, NewTask, SearchTasksRequest, TaskState, result::Outcome};
use taskyard_testkit::eventually;
use taskyard_tests::{SOON, Setup, manual, noop, read, retry_policy};
use uuid::Uuid;

use super::ALLOWANCE;

/// A leader keeps house half a minute after its begin.
const KEPT_HOUSE: Duration = Duration::from_secs(30);
/// By which key a table is partitioned does not matter to its name.
const TABLES: [&str; 5] = ["documents", "finished", "events", "search", "search_labels"];

/// A task, how many days ago it was made and finished, and whether it is kept: finished ones for 30 days, dead ones for 90.
const TASKS: [(&str, u64, Option<u64>, bool); 8] = [
    ("waiting", 40, None, true),
    ("finished lately", 40, Some(29), true),
    ("finished", 40, Some(31), false),
    ("dead", 40, Some(31), true),
    ("deleted", 40, None, false),
    ("finished long ago", 100, Some(99), false),
    ("dead for long", 100, Some(99), false),
    ("young", 0, Some(0), true),
];

fn week(days_ago: u64) -> NaiveDate {
    let day = Utc::now().date_naive() - Days::new(days_ago);
    day - Days::new(day.weekday().num_days_from_monday().into())
}

fn partition(table: &str, days_ago: u64) -> String {
    format!("tasks.{table}_{}", week(days_ago).format("%Y_%m_%d"))
}

async fn make_partitions(pool: &PgPool, days_ago: u64) -> Result<()> {
    let from = week(days_ago).and_time(NaiveTime::MIN).and_utc();
    let to = from + Days::new(7);
    for table in TABLES {
        let name = partition(table, days_ago);
        let (from, to) = match table {
            "events" => (from.to_rfc3339(), to.to_rfc3339()),
            _ => (id::lower_bound(from).to_string(), id::lower_bound(to).to_string()),
        };
        let sql = format!("create table {name} partition of tasks.{table} for values from ('{from}') to ('{to}')");
        pool.execute(AssertSqlSafe(sql)).await?;
    }
    Ok(())
}

/// As if it had been made and finished so many days ago.
async fn age(pool: &PgPool, old: Uuid, days_ago: u64, finished: Option<u64>) -> Result<Uuid> {
    let new: Uuid = sqlx::query_scalar("select uuidv7(make_interval(days => -$1))")
        .bind(i32::try_from(days_ago)?)
        .fetch_one(pool)
        .await?;
    let ago = format!("interval '{days_ago} days'");
    let finished = format!("interval '{} days'", finished.unwrap_or_default());
    for sql in [
        format!("update tasks.documents set id = $2, created_at = created_at - {ago} where id = $1"),
        "update tasks.active set id = $2 where id = $1".to_owned(),
        format!("update tasks.finished set id = $2, finished_at = finished_at - {finished} where id = $1"),
        "update tasks.search set id = $2 where id = $1".to_owned(),
        "update tasks.search_labels set id = $2 where id = $1".to_owned(),
        format!("update tasks.events set task_id = $2, at = at - {ago} where task_id = $1"),
    ] {
        sqlx::query(AssertSqlSafe(sql)).bind(old).bind(new).execute(pool).await?;
    }
    Ok(new)
}

async fn make_task(setup: &Setup, title: &str) -> Result<Uuid> {
    let texts = |new: NewTask| NewTask {
        title: title.to_owned(),
        labels: BTreeMap::from([("of".to_owned(), "retention".to_owned())]),
        retry: retry_policy(1),
        ..new
    };
    let task = match title {
        "waiting" => setup.create(texts(manual())).await?,
        "deleted" => {
            let task = setup.create(texts(manual())).await?;
            setup.delete(&task.id).await?;
            task
        }
        title if title.starts_with("dead") => {
            let mut worker = setup.worker_with(1).await?;
            let task = setup.create(texts(noop())).await?;
            let run = worker.next_run(SOON).await?.context("a run")?;
            worker.report(&run, Outcome::Failed(Failed { error: "broken".into(), ..Failed::default() })).await?;
            worker.verdict(&run, SOON).await?;
            worker.goodbye().await?;
            task
        }
        _ => {
            let task = setup.create(texts(manual())).await?;
            setup.complete(&task.id, "1").await?;
            task
        }
    };
    Ok(Uuid::try_parse(&task.id)?)
}

/// A leader died between the detaching of a partition and its drop, or a reader kept it from the former.
async fn leave_half_done(pool: &PgPool, url: &str, days_ago: u64) -> Result<()> {
    let detach = |table| format!("alter table tasks.{table} detach partition {}", partition(table, days_ago));
    let mut reader = PgConnection::connect(url).await?;
    reader.execute("begin; select from tasks.finished").await?;
    let mut impatient = PgConnection::connect(url).await?;
    impatient.execute("set lock_timeout = '100ms'").await?;
    let refused = impatient.execute(AssertSqlSafe(format!("{} concurrently", detach("finished")))).await;
    ensure!(refused.is_err(), "the reader keeps it");
    reader.execute("rollback").await?;
    let again = impatient.execute(AssertSqlSafe(format!("{} concurrently", detach("finished")))).await;
    ensure!(again.is_err_and(|error| error.to_string().contains("already pending detach")));
    pool.execute(AssertSqlSafe(detach("events"))).await?;
    Ok(())
}

#[tokio::test]
async fn only_what_was_kept_long_enough_goes() -> Result<()> {
    let setup = Setup::open().await?;
    let mut made = Vec::new();
    for (title, ..) in TASKS {
        made.push(make_task(&setup, title).await?);
    }
    eventually(SOON, "all are indexed", async || {
        (setup.stack.number("select count(*) from tasks.search").await.ok()? == 7).then_some(())
    })
    .await?;
    // It kept no house yet, and its successor begins with an old database.
    let Setup { stack, pod, .. } = setup;
    pod.stop().await?;
    for days_ago in [40, 70, 100] {
        make_partitions(&stack.pool, days_ago).await?;
    }
    let mut ids = BTreeMap::new();
    for ((title, days_ago, finished, _), id) in TASKS.into_iter().zip(made) {
        ids.insert(title, age(&stack.pool, id, days_ago, finished).await?);
    }
    leave_half_done(&stack.pool, stack.sandbox.database_url(), 70).await?;

    let pod = stack.pod().await?;
    let setup = Setup { tasks: pod.tasks().await?, queues: pod.queues().await?, stack, pod };
    let pool = &setup.stack.pool;
    let finished = ids["finished"];
    eventually(KEPT_HOUSE + ALLOWANCE, "house is kept", async || {
        let left: i64 = sqlx::query_scalar("select count(*) from tasks.documents where id = $1")
            .bind(finished)
            .fetch_one(pool)
            .await
            .ok()?;
        (left == 0).then_some(())
    })
    .await?;

    for days_ago in [70, 100] {
        for table in TABLES {
            let name = partition(table, days_ago);
            let oid: Option<String> =
                sqlx::query_scalar("select to_regclass($1)::text").bind(&name).fetch_one(pool).await?;
            ensure!(oid.is_none(), "{name} is still there");
        }
    }
    for (title, _, _, is_kept) in TASKS {
        let id = ids[title];
        match setup.get(&id.to_string()).await {
            Ok(task) => ensure!(is_kept && task.title == title, "{title} is still there"),
            Err(error) => ensure!(!is_kept && error.code == ErrorCode::TaskNotFound, "{title}: {error}"),
        }
        for table in ["documents", "finished", "search", "search_labels"] {
            let sql = format!("select count(*) from tasks.{table} where id = $1");
            let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).bind(id).fetch_one(pool).await?;
            let expected = i64::from(is_kept && (table != "finished" || title != "waiting"));
            ensure!(rows == expected, "{title} in {table}: {rows}");
        }
    }
    let mut kept: Vec<&str> = TASKS.iter().filter(|task| task.3).map(|task| task.0).collect();
    kept.sort_unstable();
    let listed = ListTasksRequest { page_size: 100, ..ListTasksRequest::default() };
    let listed = read(setup.tasks.clone().list_tasks(listed).await)?;
    let mut listed: Vec<&str> = listed.tasks.iter().map(|task| task.title.as_str()).collect();
    listed.sort_unstable();
    ensure!(listed == kept, "{listed:?}");
    let found = SearchTasksRequest { query: "finished or dead".into(), ..SearchTasksRequest::default() };
    let found = read(setup.tasks.clone().search_tasks(found).await)?;
    ensure!(found.hits.len() == 2, "{found:?}");

    // What is kept goes on.
    setup.complete(&ids["waiting"].to_string(), "1").await?;
    setup.retry(&ids["dead"].to_string()).await?;
    setup.until(&ids["dead"].to_string(), TaskState::Ready).await?;
    let report = taskyard_tasks::rebuild(setup.stack.sandbox.database_url(), |_| {}).await?;
    ensure!(report.difference_count == 0, "{report:?}");
    setup.close().await
}
