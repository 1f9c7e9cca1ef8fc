//! `taskyard admin rebuild`: the events give the tasks as they stand, and whatever does not fit them is found.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::AssertSqlSafe;
use taskyard_proto::v1::{Failed, NewTask, Returned, TaskState, TaskUpdate, result::Outcome};
use taskyard_tasks::{Progress, Report, rebuild};
use taskyard_tests::{SOON, Setup, WorkerOptions, millis, new_task, noop, retry_policy, seconds};
use uuid::Uuid;

async fn replay(setup: &Setup) -> Result<Report> {
    rebuild(setup.stack.sandbox.database_url(), |_| {}).await
}

/// What differs: field, replayed, found.
fn fields(report: &Report) -> Vec<(&str, Option<&str>, Option<&str>)> {
    let differences = report.differences.iter();
    differences.map(|one| (one.field.as_str(), one.replayed.as_deref(), one.found.as_deref())).collect()
}

/// Everything that can happen to tasks, in any order, until it is told to stop.
async fn live(setup: &Setup, seed: u64, stop: &AtomicBool) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let queue = format!("q{seed}");
    let options = WorkerOptions { queues: vec![queue.clone()], slots: 20, ..WorkerOptions::default() };
    let mut worker = setup.worker(options).await?;
    let mut ids = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let kind = if random.random_bool(0.2) { "manual" } else { "noop" };
        let delay = match random.random_range(0..6) {
            0 => millis(30),
            1 => seconds(3_600),
            _ => None,
        };
        let labels = BTreeMap::from([("seed".to_owned(), seed.to_string())]);
        let new = NewTask {
            queue: queue.clone(),
            delay,
            labels,
            retry: retry_policy(2),
            title: "new".into(),
            ..new_task(kind)
        };
        ids.push(setup.create(new).await?.id);
        for _ in 0..2 {
            let id = &ids[random.random_range(0..ids.len())];
            // Whether the task's state allows it does not matter here.
            match random.random_range(0..9) {
                0 => drop(setup.cancel(id, "enough").await),
                1 => drop(setup.retry(id).await),
                2 => drop(setup.delete(id).await),
                3 => drop(setup.complete(id, "1").await),
                4 => drop(setup.update(id, "priority", TaskUpdate { priority: 7, ..TaskUpdate::default() }, 0).await),
                5 => drop(setup.update(id, "due_time", TaskUpdate::default(), 0).await),
                6 => drop(setup.update(id, "labels", TaskUpdate::default(), 0).await),
                _ => {
                    let texts =
                        TaskUpdate { title: "changed".into(), description: "größer".into(), ..TaskUpdate::default() };
                    drop(setup.update(id, "title,description", texts, 0).await);
                }
            }
        }
        while let Some(run) = worker.next_run(Duration::from_millis(2)).await? {
            let outcome = match random.random_range(0..6) {
                0..3 => Outcome::Completed(Default::default()),
                3 => Outcome::Failed(Failed {
                    error: "broken".into(),
                    fatal: random.random_bool(0.3),
                    ..Failed::default()
                }),
                4 => Outcome::Returned(Returned {}),
                // Goes on running.
                _ => continue,
            };
            worker.report(&run, outcome).await?;
        }
        for stop in std::mem::take(&mut worker.stops) {
            let run = taskyard_proto::v1::Assignment { task_id: stop.task_id, run: stop.run, ..Default::default() };
            worker.stopped(&run).await?;
        }
    }
    // What still runs goes on doing so: its worker stays until the test ends.
    worker.slots(0).await?;
    worker.listen(Duration::from_secs(1)).await?;
    worker.goodbye().await
}

#[tokio::test]
async fn whatever_happens_the_events_give_the_tasks_as_they_stand() -> Result<()> {
    let setup = Setup::open().await?;
    let stop = AtomicBool::new(false);
    let lives = futures::future::try_join_all((0..4).map(|seed| live(&setup, seed, &stop)));
    // While all of it goes on.
    let watch = async {
        let mut replayed = 0;
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(6) || replayed < 3 {
            let report = replay(&setup).await?;
            assert_eq!((fields(&report), report.difference_count, report.not_rebuildable), (vec![], 0, 0));
            replayed += 1;
        }
        stop.store(true, Ordering::Relaxed);
        Ok::<_, anyhow::Error>(())
    };
    let (lived, watched) = tokio::join!(lives, watch);
    lived?;
    watched?;
    // And when it rests.
    let mut told: Vec<Progress> = Vec::new();
    let report = rebuild(setup.stack.sandbox.database_url(), |progress| told.push(progress)).await?;
    assert_eq!((fields(&report), report.difference_count, report.not_rebuildable), (vec![], 0, 0));
    let (tasks, events) = (report.tasks.cast_signed(), report.events.cast_signed());
    assert_eq!(tasks, setup.stack.number("select count(*) from tasks.documents").await?);
    assert_eq!(events, setup.stack.number("select count(*) from tasks.events").await?);
    assert!(tasks > 100 && events > 3 * tasks, "{tasks} tasks, {events} events");
    assert_eq!(told.last().map(|progress| progress.events), Some(report.events));
    for event_type in 1..=10 {
        let sql = format!("select count(*) from tasks.events where type = {event_type}");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&setup.stack.pool).await?;
        assert!(count > 0, "no event of type {event_type}");
    }
    setup.close().await
}

/// A task in each state, resting.
async fn a_task_in_each_state(setup: &Setup) -> Result<BTreeMap<&'static str, Uuid>> {
    let mut worker = setup.worker(WorkerOptions::default()).await?;
    let texts = |new: NewTask| NewTask { title: "title".into(), description: "description".into(), ..new };
    let mut ids = BTreeMap::new();
    for name in ["completed", "dead", "scheduled", "running"] {
        let task = setup.create(texts(NewTask { retry: retry_policy(3), ..noop() })).await?;
        let run = worker.next_run(SOON).await?.context("a run")?;
        let outcome = match name {
            "completed" => Outcome::Completed(Default::default()),
            "dead" => Outcome::Failed(Failed { fatal: true, error: "broken".into(), ..Failed::default() }),
            "scheduled" => {
                Outcome::Failed(Failed { retry_after: seconds(3_600), error: "broken".into(), ..Failed::default() })
            }
            _ => {
                ids.insert(name, Uuid::try_parse(&task.id)?);
                continue;
            }
        };
        worker.report(&run, outcome).await?;
        worker.verdict(&run, SOON).await?;
        ids.insert(name, Uuid::try_parse(&task.id)?);
    }
    for name in ["ready", "open", "canceled", "deleted"] {
        let kind = if name == "open" { "manual" } else { "for-nobody" };
        let task = setup.create(texts(new_task(kind))).await?;
        match name {
            "canceled" => drop(setup.cancel(&task.id, "enough").await?),
            "deleted" => setup.delete(&task.id).await?,
            _ => {}
        }
        ids.insert(name, Uuid::try_parse(&task.id)?);
    }
    // The running one's session stays open.
    drop(worker);
    Ok(ids)
}

/// Field, by the events, in the tables.
type Finding = (&'static str, Option<&'static str>, Option<&'static str>);

#[tokio::test]
async fn whatever_was_changed_past_the_events_is_found() -> Result<()> {
    let setup = Setup::open().await?;
    let ids = a_task_in_each_state(&setup).await?;
    // Nobody repairs anything meanwhile.
    setup.pod.stop.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let pool = &setup.stack.pool;
    taskyard_testkit::eventually(SOON, "the pod is gone", async || {
        let sql = "select count(*) from pg_stat_activity where application_name like 'taskyard-tasks%' and datname = current_database()";
        (setup.stack.number(sql).await.ok()? == 0).then_some(())
    })
    .await?;
    assert_eq!(fields(&replay(&setup).await?), []);

    let none = None::<&str>;
    let breaks: [(&str, &str, &str, Vec<Finding>); 21] = [
        ("ready", "active set state = 2", "active set state = 3", vec![("state", Some("3"), Some("2"))]),
        ("running", "active set attempt = 1", "active set attempt = 0", vec![("attempt", Some("0"), Some("1"))]),
        ("running", "active set run = 2", "active set run = 1", vec![("run", Some("1"), Some("2"))]),
        ("running", "active set returns = 3", "active set returns = 0", vec![("returns", Some("0"), Some("3"))]),
        ("scheduled", "active set version = 9", "active set version = 3", vec![("version", Some("3"), Some("9"))]),
        ("scheduled", "active set error = null", "active set error = 'broken'", vec![("error", Some("broken"), none)]),
        ("open", "active set priority = 9", "active set priority = 5", vec![("priority", Some("5"), Some("9"))]),
        ("open", "active set queue = 'q'", "active set queue = 'default'", vec![("queue", Some("default"), Some("q"))]),
        ("open", "active set kind = 'k'", "active set kind = 'manual'", vec![("kind", Some("manual"), Some("k"))]),
        ("dead", "finished set state = 7", "finished set state = 6", vec![("state", Some("6"), Some("7"))]),
        ("dead", "finished set attempt = 0", "finished set attempt = 1", vec![("attempt", Some("1"), Some("0"))]),
        (
            "canceled",
            "finished set error = 'x'",
            "finished set error = 'enough'",
            vec![("error", Some("enough"), Some("x"))],
        ),
        ("completed", "finished set run = 0", "finished set run = 1", vec![("run", Some("1"), Some("0"))]),
        (
            "completed",
            "documents set title = 'x'",
            "documents set title = 'title'",
            vec![("title", Some("title"), Some("x"))],
        ),
        (
            "ready",
            "documents set title = ''",
            "documents set title = 'title'",
            vec![("title", Some("title"), Some(""))],
        ),
        (
            "ready",
            "documents set description = 'x'",
            "documents set description = 'description'",
            vec![("description", Some("description"), Some("x"))],
        ),
        (
            "ready",
            r#"documents set labels = '{"a": "b"}'"#,
            "documents set labels = '{}'",
            vec![("labels", Some("{}"), Some(r#"{"a": "b"}"#))],
        ),
        (
            "ready",
            "documents set queue = 'q'",
            "documents set queue = 'default'",
            vec![("document.queue", Some("default"), Some("q"))],
        ),
        (
            "deleted",
            "documents set is_deleted = false",
            "documents set is_deleted = true",
            vec![("document", Some("deleted"), Some("there"))],
        ),
        (
            "open",
            "documents set is_deleted = true, title = 'x'",
            "documents set is_deleted = false, title = 'title'",
            vec![("document", Some("there"), Some("deleted"))],
        ),
        (
            "running",
            "active set state = 3, attempt = 2",
            "active set state = 4, attempt = 0",
            vec![("attempt", Some("0"), Some("2")), ("state", Some("4"), Some("3"))],
        ),
    ];
    for (task, broken, repaired, expected) in breaks {
        let id = ids[task];
        for sql in [broken, repaired] {
            let done =
                sqlx::query(AssertSqlSafe(format!("update tasks.{sql} where id = $1"))).bind(id).execute(pool).await?;
            assert_eq!(done.rows_affected(), 1, "{sql} of the {task} one");
            let report = replay(&setup).await?;
            let expected = if sql == broken { expected.clone() } else { vec![] };
            assert_eq!(fields(&report), expected, "{sql} of the {task} one");
            assert_eq!(report.difference_count, expected.len() as u64);
            assert!(report.differences.iter().all(|difference| (difference.namespace, difference.id) == (1, id)));
        }
    }
    // Times are compared to the microsecond.
    for (task, table, column) in [
        ("ready", "active", "due_at"),
        ("running", "active", "started_at"),
        ("completed", "finished", "finished_at"),
        ("dead", "finished", "started_at"),
        ("open", "documents", "created_at"),
    ] {
        for sign in ['+', '-'] {
            let sql =
                format!("update tasks.{table} set {column} = {column} {sign} interval '1 microsecond' where id = $1");
            sqlx::query(AssertSqlSafe(sql)).bind(ids[task]).execute(pool).await?;
            let report = replay(&setup).await?;
            let found: Vec<&str> = report.differences.iter().map(|difference| difference.field.as_str()).collect();
            assert_eq!(found, if sign == '+' { vec![column] } else { vec![] });
        }
    }

    // What is missing, and what nobody knows.
    sqlx::query("delete from tasks.active where id = $1").bind(ids["ready"]).execute(pool).await?;
    assert_eq!(fields(&replay(&setup).await?), [("table", Some("active"), None)]);
    sqlx::query("delete from tasks.documents where id = $1").bind(ids["ready"]).execute(pool).await?;
    assert_eq!(fields(&replay(&setup).await?), [("document", Some("there"), None), ("table", Some("active"), None)]);
    sqlx::query("delete from tasks.events where task_id = $1").bind(ids["ready"]).execute(pool).await?;
    assert_eq!(fields(&replay(&setup).await?), []);
    sqlx::query("delete from tasks.events where task_id = $1 and version = 2").bind(ids["dead"]).execute(pool).await?;
    assert_eq!(fields(&replay(&setup).await?), [("events", Some("2"), Some("3"))], "a gap");
    sqlx::query("delete from tasks.events where task_id = $1").bind(ids["dead"]).execute(pool).await?;
    assert_eq!(fields(&replay(&setup).await?), [("events", None, Some("finished"))]);
    for table in ["finished", "documents"] {
        sqlx::query(AssertSqlSafe(format!("delete from tasks.{table} where id = $1")))
            .bind(ids["dead"])
            .execute(pool)
            .await?;
    }
    assert_eq!(fields(&replay(&setup).await?), []);
    let twice = "insert into tasks.active (namespace, id, xact, due_at, version, run, timeout_ms, backoff_ms, \
        backoff_max_ms, payload_bytes, state, priority, attempt, attempts_max, returns, queue, kind) select namespace, \
        id, xact, due_at, version, run, 1, 1, 1, 4, 3, priority, attempt, 1, 0, queue, kind from tasks.finished \
        where id = $1";
    sqlx::query(twice).bind(ids["canceled"]).execute(pool).await?;
    let report = replay(&setup).await?;
    assert!(fields(&report).contains(&("table", Some("finished"), Some("active and finished"))), "{report:?}");
    sqlx::query("delete from tasks.active where id = $1").bind(ids["canceled"]).execute(pool).await?;

    // Many: the first hundred are told, all are counted.
    sqlx::query(
        "insert into tasks.documents select namespace, uuidv7(), now(), timeout_ms, backoff_ms, backoff_max_ms, \
        attempts_max, false, fingerprint, queue, kind, creator, title, description, labels, payload \
        from tasks.documents, generate_series(1, 150) where id = $1",
    )
    .bind(ids["open"])
    .execute(pool)
    .await?;
    let report = replay(&setup).await?;
    assert_eq!((report.differences.len(), report.difference_count), (100, 150));
    assert_eq!(fields(&report)[0], ("events", None, Some("document")));
    setup.close().await
}

#[tokio::test]
async fn what_retention_has_dropped_is_no_difference() -> Result<()> {
    let setup = Setup::open().await?;
    let ids = a_task_in_each_state(&setup).await?;
    let pool = &setup.stack.pool;
    setup.pod.stop.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // These are of ten days ago now, with all that happened to them; `open` was changed today.
    for name in ["ready", "dead", "completed", "deleted", "open"] {
        let id: Uuid = sqlx::query_scalar("select uuidv7(interval '-10 days')").fetch_one(pool).await?;
        for sql in [
            "update tasks.documents set id = $2, created_at = created_at - interval '10 days' where id = $1",
            "update tasks.active set id = $2 where id = $1",
            "update tasks.finished set id = $2 where id = $1",
            "update tasks.events set task_id = $2, at = at - interval '10 days' where task_id = $1",
        ] {
            sqlx::query(sql).bind(ids[name]).bind(id).execute(pool).await?;
        }
        if name == "open" {
            for sql in [
                "update tasks.active set version = 2, priority = 9 where id = $1",
                "insert into tasks.events (at, xact, namespace, epoch, task_id, version, run, type, from_state, to_state, \
                 attempt, returns, priority, queue, kind) select now(), xact, namespace, 1, id, 2, 0, 9, 1, 1, 0, 0, 9, \
                 queue, kind from tasks.active where id = $1",
            ] {
                sqlx::query(sql).bind(id).execute(pool).await?;
            }
        }
    }
    // Their times do not fit the replayed ones any more; but everything is there, so they are compared.
    let report = replay(&setup).await?;
    assert_eq!(report.not_rebuildable, 0);
    assert!(report.differences.iter().all(|difference| difference.field.ends_with("_at")), "{report:?}");

    let old: Vec<String> = sqlx::query_scalar(
        "select 'tasks.' || c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid \
         where i.inhparent = 'tasks.events'::regclass \
            and to_date(substring(c.relname from '[0-9]{4}_[0-9]{2}_[0-9]{2}$'), 'YYYY_MM_DD') + 7 <= current_date - 3",
    )
    .fetch_all(pool)
    .await?;
    assert!(!old.is_empty());
    for partition in old {
        sqlx::query(AssertSqlSafe(format!("drop table {partition}"))).execute(pool).await?;
    }
    let report = replay(&setup).await?;
    assert_eq!((fields(&report), report.not_rebuildable), (vec![], 5));
    // Then the rows go as well, piece by piece.
    for sql in [
        "delete from tasks.finished where id < uuidv7(interval '-9 days')",
        "delete from tasks.documents d where id < uuidv7(interval '-9 days') and not exists (select from tasks.active a where a.id = d.id)",
    ] {
        sqlx::query(sql).execute(pool).await?;
        assert_eq!(fields(&replay(&setup).await?), []);
    }
    assert_eq!(replay(&setup).await?.not_rebuildable, 2);
    let young = setup.stack.count(TaskState::Canceled).await?;
    assert_eq!(young, 1);
    setup.close().await
}
