//! Creating tasks: defaults, limits, batches, repetitions, delayed starts.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use taskyard_core::{ErrorCode, limits};
use taskyard_proto::v1::{
    CreateTasksRequest, EventType, ListEventsRequest, ListTasksRequest, NewTask, RetryPolicy, TaskState,
};
use taskyard_tests::{
    SOON, Setup, WorkerOptions, create_on, manual, millis, new_task, noop, read, seconds, time, timestamp,
};
use uuid::Uuid;

use crate::expect::{next_run, outcome, refused, wrong_fields};

/// A UUIDv7 of another time than now.
fn id_of(time: DateTime<Utc>) -> String {
    let millis = time.timestamp_millis().cast_unsigned();
    let nanos = u32::try_from(millis % 1_000).expect("below 1,000") * 1_000_000;
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, millis / 1_000, nanos)).to_string()
}

#[tokio::test]
async fn what_is_left_out_has_its_default() -> Result<()> {
    let setup = Setup::open().await?;
    let before = Utc::now();
    let task = setup.create(new_task("unknown-to-all-workers")).await?;
    assert_eq!(setup.get(&task.id).await?.payload, "null");
    // The answer to the create is the task itself.
    let read = taskyard_proto::v1::Task { payload: Default::default(), ..setup.get(&task.id).await? };
    assert_eq!(task, read);
    assert_eq!(task.state(), TaskState::Ready);
    let names = (task.queue.as_str(), task.namespace.as_str(), task.creator.as_str());
    assert_eq!(names, ("default", "default", "key:tests"));
    assert_eq!((task.priority, task.version, task.run, task.attempt), (5, 1, 0, 0));
    assert_eq!(task.timeout, seconds(3_600));
    let retry = RetryPolicy { attempts_max: 10, backoff: seconds(1), backoff_max: seconds(3_600) };
    assert_eq!(task.retry, Some(retry));
    assert!((time(task.create_time) - before).abs() < TimeDelta::seconds(10));
    assert_eq!(task.due_time, task.create_time);
    assert_eq!((task.start_time, task.finish_time, task.progress, task.error.as_str()), (None, None, None, ""));

    let task = setup.create(NewTask { id: String::new(), ..manual() }).await?;
    assert_eq!(task.state(), TaskState::Open);
    assert_eq!(Uuid::try_parse(&task.id)?.get_version_num(), 7, "the server makes ids of version 7");
    setup.close().await
}

#[tokio::test]
async fn whatever_is_at_its_limit_is_taken_and_kept() -> Result<()> {
    let setup = Setup::open().await?;
    let text = |bytes: usize| "ä".repeat(bytes / 2);
    let due = Utc::now() + TimeDelta::days(366) - TimeDelta::minutes(1);
    let labels: BTreeMap<String, String> = (0..32).map(|n| (format!("{n:02}{}", "k".repeat(62)), text(256))).collect();
    let new = NewTask {
        id: id_of(Utc::now() - TimeDelta::days(7) + TimeDelta::minutes(1)),
        idempotency_key: text(256),
        queue: "q".repeat(64),
        kind: "9._-Az".to_owned(),
        title: text(1_000),
        description: text(65_536),
        payload: format!("\"{}\"", "x".repeat(limits::PAYLOAD_BYTES_MAX - 2)).into(),
        labels,
        priority: Some(9),
        due_time: timestamp(due),
        delay: None,
        timeout: seconds(7 * 86_400),
        retry: Some(RetryPolicy { attempts_max: 100, backoff: seconds(86_400), backoff_max: seconds(7 * 86_400) }),
    };
    setup.create(new.clone()).await?;
    let task = setup.get(&new.id).await?;
    assert_eq!(task.state(), TaskState::Scheduled);
    assert_eq!((task.queue, task.kind, task.title), (new.queue, new.kind, new.title));
    assert_eq!((task.description, task.labels, task.priority), (new.description, new.labels, 9));
    assert_eq!((task.payload, task.timeout, task.retry), (new.payload, new.timeout, new.retry));
    assert!((time(task.due_time) - due).abs() < TimeDelta::milliseconds(1));

    // The other ends.
    let least = NewTask {
        id: id_of(Utc::now() + TimeDelta::minutes(4)),
        priority: Some(0),
        timeout: seconds(1),
        retry: Some(RetryPolicy { attempts_max: 1, backoff: millis(1), backoff_max: millis(1) }),
        // A character that JSON can escape and Postgres' text cannot hold: payloads are bytes.
        payload: r#"{"a":"\u0000"}"#.into(),
        ..noop()
    };
    setup.create(least.clone()).await?;
    let task = setup.get(&least.id).await?;
    assert_eq!((task.priority, task.timeout, task.retry, task.payload), (0, least.timeout, least.retry, least.payload));
    setup.close().await
}

#[tokio::test]
async fn whatever_breaks_a_limit_is_refused_by_name_and_nothing_is_made() -> Result<()> {
    let setup = Setup::open().await?;
    let labels = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let retry = |attempts_max, backoff, backoff_max| Some(RetryPolicy { attempts_max, backoff, backoff_max });
    let late = timestamp(Utc::now() + TimeDelta::days(366) + TimeDelta::minutes(1));
    let wrong: Vec<(&str, NewTask)> = vec![
        ("id", NewTask { id: "1".into(), ..noop() }),
        ("id", NewTask { id: Uuid::new_v4().to_string(), ..noop() }),
        ("id", NewTask { id: id_of(Utc::now() - TimeDelta::days(7) - TimeDelta::minutes(1)), ..noop() }),
        ("id", NewTask { id: id_of(Utc::now() + TimeDelta::minutes(6)), ..noop() }),
        ("idempotency_key", NewTask { idempotency_key: "k".repeat(257), ..noop() }),
        ("idempotency_key", NewTask { idempotency_key: "a\0b".into(), ..noop() }),
        ("queue", NewTask { queue: "q".repeat(65), ..noop() }),
        ("queue", NewTask { queue: "no spaces".into(), ..noop() }),
        ("queue", NewTask { queue: "-begins-badly".into(), ..noop() }),
        ("queue", NewTask { queue: "a\0b".into(), ..noop() }),
        ("kind", new_task("")),
        ("kind", new_task(&"k".repeat(65))),
        ("kind", new_task("größe")),
        ("title", NewTask { title: "t".repeat(1_001), ..noop() }),
        ("title", NewTask { title: "a\0b".into(), ..noop() }),
        ("description", NewTask { description: "t".repeat(65_537), ..noop() }),
        ("description", NewTask { description: "\0".into(), ..noop() }),
        ("payload", NewTask { payload: format!("\"{}\"", "x".repeat(limits::PAYLOAD_BYTES_MAX - 1)).into(), ..noop() }),
        ("payload", NewTask { payload: "{".into(), ..noop() }),
        ("payload", NewTask { payload: "1 2".into(), ..noop() }),
        ("payload", NewTask { payload: b"\"\xff\"".as_slice().into(), ..noop() }),
        ("payload", NewTask { payload: "[".repeat(1_000).into(), ..noop() }),
        ("labels", NewTask { labels: (0..33).map(|n| (n.to_string(), String::new())).collect(), ..noop() }),
        ("labels", NewTask { labels: labels("", "v"), ..noop() }),
        ("labels", NewTask { labels: labels(&"k".repeat(65), "v"), ..noop() }),
        ("labels", NewTask { labels: labels("a\0b", "v"), ..noop() }),
        ("labels.team", NewTask { labels: labels("team", &"v".repeat(257)), ..noop() }),
        ("labels.team", NewTask { labels: labels("team", "a\0b"), ..noop() }),
        ("priority", NewTask { priority: Some(10), ..noop() }),
        ("due_time", NewTask { due_time: late, ..noop() }),
        ("due_time", NewTask { due_time: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }), ..noop() }),
        ("delay", NewTask { delay: seconds(366 * 86_400 + 1), ..noop() }),
        ("delay", NewTask { delay: seconds(-1), ..noop() }),
        ("delay", NewTask { due_time: timestamp(Utc::now()), delay: seconds(1), ..noop() }),
        ("timeout", NewTask { timeout: millis(999), ..noop() }),
        ("timeout", NewTask { timeout: seconds(7 * 86_400 + 1), ..noop() }),
        ("retry.attempts_max", NewTask { retry: retry(101, None, None), ..noop() }),
        ("retry.backoff", NewTask { retry: retry(0, seconds(0), None), ..noop() }),
        ("retry.backoff", NewTask { retry: retry(0, seconds(86_401), None), ..noop() }),
        ("retry.backoff_max", NewTask { retry: retry(0, None, seconds(7 * 86_400 + 1)), ..noop() }),
        ("retry.backoff_max", NewTask { retry: retry(0, seconds(2), seconds(1)), ..noop() }),
    ];
    for (field, task) in &wrong {
        let fields = wrong_fields(setup.create(task.clone()).await);
        assert_eq!(fields, [format!("task.{field}")]);
    }
    // The same in a batch, with the field of the task.
    let results = setup.create_all(wrong.iter().map(|(_, task)| task.clone()).collect()).await?;
    for (result, (field, _)) in results.iter().zip(&wrong) {
        assert_eq!(outcome(result), Err(("INVALID_INPUT", *field)));
    }
    // All that is wrong is named at once.
    let all = NewTask { title: "\0".into(), priority: Some(10), ..new_task("") };
    assert_eq!(wrong_fields(setup.create(all).await), ["task.kind", "task.title", "task.priority"]);
    assert_eq!(
        wrong_fields(read(setup.tasks.clone().create_task(taskyard_proto::v1::CreateTaskRequest::default()).await)),
        ["task"]
    );
    assert_eq!(setup.stack.number("select count(*) from tasks.documents").await?, 0);
    assert_eq!(setup.stack.number("select count(*) from tasks.queues").await?, 0);
    setup.close().await
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() -> Result<()> {
    let setup = Setup::open().await?;
    let mut tasks = setup.tasks.clone();
    let batch = vec![noop(); limits::BATCH_TASKS_MAX + 1];
    assert_eq!(wrong_fields(setup.create_all(batch).await), ["tasks"]);
    let page = ListTasksRequest { page_size: limits::PAGE_SIZE_MAX + 1, ..ListTasksRequest::default() };
    assert_eq!(wrong_fields(read(tasks.list_tasks(page).await)), ["page_size"]);
    let page = ListEventsRequest { page_size: limits::EVENTS_PAGE_SIZE_MAX + 1, ..ListEventsRequest::default() };
    assert_eq!(wrong_fields(read(tasks.list_events(page).await)), ["page_size"]);

    let large = |count: usize| {
        let payload = format!("\"{}\"", "x".repeat(limits::PAYLOAD_BYTES_MAX - 2));
        (0..count).map(|_| NewTask { payload: payload.clone().into(), ..noop() }).collect::<Vec<_>>()
    };
    let sixteen = setup.create_all(large(16)).await?;
    assert!(sixteen.iter().all(|result| outcome(result).is_ok()), "16 MiB in one request");
    assert_eq!(refused(setup.create_all(large(18)).await), ErrorCode::TooLarge);
    // The connection goes on.
    assert!(read(tasks.create_tasks(CreateTasksRequest::default()).await)?.results.is_empty());
    setup.close().await
}

#[tokio::test]
async fn a_batch_of_a_thousand_is_answered_one_by_one() -> Result<()> {
    let setup = Setup::open().await?;
    let known = setup.create(noop()).await?;
    let mut batch: Vec<NewTask> = (0..limits::BATCH_TASKS_MAX).map(|n| new_task(&format!("k{}", n % 7))).collect();
    batch[3].title = "a\0b".into();
    batch[400].id = known.id.clone();
    batch[400].kind = "noop".into();
    batch[500].id = known.id.clone();
    batch[500].kind = "other".into();
    batch[997] = batch[996].clone();
    batch[999].kind = String::new();
    let ids: Vec<String> = batch.iter().map(|task| task.id.clone()).collect();
    let results = setup.create_all(batch).await?;
    assert_eq!(results.len(), 1_000);
    for (n, result) in results.iter().enumerate() {
        let expected = match n {
            3 => Err(("INVALID_INPUT", "title")),
            400 | 997 => Ok((ids[n].as_str(), false)),
            500 => Err(("ID_TAKEN", "")),
            999 => Err(("INVALID_INPUT", "kind")),
            _ => Ok((ids[n].as_str(), true)),
        };
        assert_eq!(outcome(result), expected, "{n}");
    }
    assert_eq!(setup.stack.number("select count(*) from tasks.active where state = 3").await?, 1 + 995);
    setup.close().await
}

#[tokio::test]
async fn a_row_that_only_the_database_refuses_is_refused_alone() -> Result<()> {
    let setup = Setup::open().await?;
    // No input that passes our checks is known to be refused: so the table gets one more.
    sqlx::query("alter table tasks.documents add constraint odd check (title <> 'odd')")
        .execute(&setup.stack.pool)
        .await?;
    let batch: Vec<NewTask> = (0..200)
        .map(|n| NewTask { title: if n % 90 == 17 { "odd".into() } else { format!("even {n}") }, ..noop() })
        .collect();
    let results = setup.create_all(batch.clone()).await?;
    for (n, (task, result)) in batch.iter().zip(&results).enumerate() {
        let expected = if n % 90 == 17 { Err(("INVALID_INPUT", "")) } else { Ok((task.id.as_str(), true)) };
        assert_eq!(outcome(result), expected, "{n}");
    }
    let error = setup.create(NewTask { title: "odd".into(), ..noop() }).await.expect_err("it is refused");
    assert!(!error.message.contains("constraint"), "no text of the database: {}", error.message);
    assert_eq!(setup.stack.number("select count(*) from tasks.documents").await?, 197);
    assert_eq!(setup.stack.number("select count(*) from tasks.events").await?, 197);
    setup.close().await
}

#[tokio::test]
async fn a_repeated_create_is_answered_with_the_first_ones_task() -> Result<()> {
    let setup = Setup::open().await?;
    let new = NewTask { title: "first".into(), payload: "1".into(), ..manual() };
    let (first, created) = setup.create_or_find(new.clone()).await?;
    assert!(created);
    assert_eq!(setup.create_or_find(new.clone()).await?, (first.clone(), false));
    // It is answered with how the task stands now.
    setup.complete(&first.id, "2").await?;
    let (again, created) = setup.create_or_find(new.clone()).await?;
    assert_eq!((again.state(), created), (TaskState::Completed, false));

    let other = NewTask { payload: "2".into(), ..new.clone() };
    assert_eq!(refused(setup.create(other).await), ErrorCode::IdTaken);
    setup.delete(&first.id).await?;
    assert_eq!(refused(setup.create(new.clone()).await), ErrorCode::IdTaken, "a deleted id stays taken");
    assert_eq!(outcome(&setup.create_all(vec![new]).await?[0]), Err(("ID_TAKEN", "")));
    assert_eq!(refused(setup.get(&first.id).await), ErrorCode::TaskNotFound);
    setup.close().await
}

#[tokio::test]
async fn an_idempotency_key_makes_one_task() -> Result<()> {
    let setup = Setup::open().await?;
    let keyed = |key: &str, title: &str| NewTask { idempotency_key: key.into(), title: title.into(), ..manual() };
    let (first, created) = setup.create_or_find(keyed("a", "one")).await?;
    assert!(created);
    // Another id, or none: the key decides.
    assert_eq!(setup.create_or_find(keyed("a", "one")).await?, (first.clone(), false));
    let without_id = NewTask { id: String::new(), ..keyed("a", "one") };
    assert_eq!(setup.create_or_find(without_id).await?, (first.clone(), false));
    assert_eq!(refused(setup.create(keyed("a", "two")).await), ErrorCode::IdempotencyKeyReused);

    // Twice in one batch.
    let batch = vec![keyed("b", "one"), keyed("b", "one"), keyed("b", "two")];
    let results = setup.create_all(batch.clone()).await?;
    assert_eq!(outcome(&results[0]), Ok((batch[0].id.as_str(), true)));
    assert_eq!(outcome(&results[1]), Ok((batch[0].id.as_str(), false)));
    assert_eq!(outcome(&results[2]), Err(("IDEMPOTENCY_KEY_REUSED", "")));

    // A key that was used for a task that was deleted makes no second one.
    setup.delete(&first.id).await?;
    assert_eq!(refused(setup.create(keyed("a", "one")).await), ErrorCode::IdempotencyKeyReused);
    assert_eq!(outcome(&setup.create_all(vec![keyed("a", "one")]).await?[0]), Err(("IDEMPOTENCY_KEY_REUSED", "")));

    // After its time a key is as good as new.
    sqlx::query("update tasks.idempotency_keys set expires_at = now() - interval '1 second'")
        .execute(&setup.stack.pool)
        .await?;
    assert!(setup.create_or_find(keyed("b", "two")).await?.1);
    assert_eq!(setup.stack.number("select count(*) from tasks.documents where not is_deleted").await?, 2);
    setup.close().await
}

#[tokio::test]
async fn the_same_at_two_pods_at_once_makes_one_task() -> Result<()> {
    let setup = Setup::open().await?;
    let second = setup.stack.pod().await?;
    let clients = [setup.tasks.clone(), second.tasks().await?];
    let mut made = 0;
    for round in 0..30 {
        let keyed = NewTask { idempotency_key: format!("key {round}"), ..manual() };
        // Even rounds by key, with two ids; odd ones by id.
        let other = if round % 2 == 0 { NewTask { id: manual().id, ..keyed.clone() } } else { keyed.clone() };
        let (a, b) = tokio::join!(create_on(&clients[0], keyed), create_on(&clients[1], other));
        let (a, b) = (a?, b?);
        assert_eq!(a.0.id, b.0.id);
        assert!(a.1 != b.1, "one of them made it");
        made += 1;
    }
    assert_eq!(setup.stack.number("select count(*) from tasks.active").await?, made);
    assert_eq!(setup.stack.number("select count(*) from tasks.events").await?, made);
    second.stop().await?;
    setup.close().await
}

#[tokio::test]
async fn a_delayed_task_starts_at_its_time() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(10).await?;
    let database_now: DateTime<Utc> =
        sqlx::query_scalar("select clock_timestamp()").fetch_one(&setup.stack.pool).await?;
    let by_delay = setup.create(NewTask { delay: millis(1_500), ..noop() }).await?;
    let by_time = NewTask { due_time: timestamp(database_now + TimeDelta::milliseconds(2_500)), ..noop() };
    let by_time = setup.create(by_time).await?;
    let past = setup.create(NewTask { due_time: timestamp(database_now - TimeDelta::days(1)), ..noop() }).await?;
    let now = setup.create(NewTask { delay: seconds(0), ..noop() }).await?;
    assert_eq!((by_delay.state(), by_time.state()), (TaskState::Scheduled, TaskState::Scheduled));
    assert_eq!((past.state(), now.state()), (TaskState::Ready, TaskState::Ready));
    assert_eq!(time(by_delay.due_time) - time(by_delay.create_time), TimeDelta::milliseconds(1_500));

    let mut order: Vec<String> = worker.runs(4, SOON).await?.into_iter().map(|run| run.task_id).collect();
    // Each was started as soon as it was there; a pod reads several payloads at once, so either may arrive first. Ids
    // have the order of their making.
    order[..2].sort();
    assert_eq!(order, [past.id, now.id, by_delay.id.clone(), by_time.id.clone()]);
    for task in [by_delay, by_time] {
        let events = setup.events_until(&task.id, 3).await?;
        let types: Vec<EventType> = events.iter().map(|event| event.r#type()).collect();
        assert_eq!(types, [EventType::Created, EventType::Due, EventType::Started]);
        let late = time(events[1].time) - time(task.due_time);
        assert!(late >= TimeDelta::zero() && late < TimeDelta::seconds(1), "due {late} late");
        let late = time(events[2].time) - time(task.due_time);
        assert!(late < TimeDelta::seconds(2), "started {late} late");
    }
    setup.close().await
}

#[tokio::test]
async fn a_queue_too_many_is_refused_with_a_time() -> Result<()> {
    let setup = Setup::open().await?;
    sqlx::query("insert into tasks.queues (namespace, name) select 1, 'q' || n from generate_series(1, $1) n")
        .bind(i32::try_from(limits::QUEUES_MAX)?)
        .execute(&setup.stack.pool)
        .await?;
    setup.create(NewTask { queue: "q7".into(), ..noop() }).await?;
    assert_eq!(refused(setup.create(NewTask { queue: "one-more".into(), ..noop() }).await), ErrorCode::Exhausted);
    let batch = vec![NewTask { queue: "one-more".into(), ..noop() }, NewTask { queue: "q8".into(), ..noop() }];
    let results = setup.create_all(batch.clone()).await?;
    assert_eq!(outcome(&results[0]), Err(("EXHAUSTED", "")));
    assert_eq!(outcome(&results[1]), Ok((batch[1].id.as_str(), true)));
    setup.close().await
}

#[tokio::test]
async fn the_best_task_starts_first() -> Result<()> {
    let setup = Setup::open().await?;
    let mut tasks = Vec::new();
    for (priority, title) in [(5, "c"), (0, "e"), (9, "a"), (5, "d"), (8, "b")] {
        let new = NewTask { priority: Some(priority), title: title.into(), ..noop() };
        tasks.push(setup.create(new).await?);
    }
    let mut worker = setup.worker(WorkerOptions { slots: 1, ..WorkerOptions::default() }).await?;
    for title in ["a", "b", "c", "d", "e"] {
        let run = next_run(&mut worker).await?;
        assert_eq!(run.title, title);
        worker.complete(&run).await?;
    }
    setup.close().await
}
