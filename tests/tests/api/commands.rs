//! What people do to one task: cancel, complete, retry, update, delete.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{TimeDelta, Utc};
use taskyard_core::ErrorCode;
use taskyard_proto::v1::{
    EventType, Failed, NewTask, RetryPolicy, RetryTasksRequest, RetryTasksResponse, StopReason, TaskFilter, TaskState,
    TaskUpdate, Verdict, result::Outcome,
};
use taskyard_tests::{Answer, SOON, Setup, manual, millis, new_task, noop, read, seconds, time, timestamp};
use uuid::Uuid;

use crate::expect::{next_run, next_stop, no_run, refused, wrong_fields};

/// A task of a kind that no worker runs.
fn waiting() -> NewTask {
    new_task("for-nobody")
}

#[tokio::test]
async fn a_waiting_task_is_canceled_and_can_be_retried() -> Result<()> {
    let setup = Setup::open().await?;
    for new in [waiting(), manual(), NewTask { delay: seconds(3_600), ..waiting() }] {
        let task = setup.create(new).await?;
        let canceled = setup.cancel(&task.id, "no longer needed").await?;
        assert_eq!((canceled.state(), canceled.version), (TaskState::Canceled, 2));
        assert_eq!(canceled.error, "no longer needed");
        assert!(canceled.finish_time.is_some());
        // Again: it stays as it is.
        assert_eq!(setup.cancel(&task.id, "twice").await?, canceled);
        let retried = setup.retry(&task.id).await?;
        let expected = if task.kind == "manual" { TaskState::Open } else { TaskState::Ready };
        assert_eq!((retried.state(), retried.version, retried.error.as_str()), (expected, 3, ""));
        assert_eq!(retried.finish_time, None);
        assert_eq!(setup.retry(&task.id).await?, retried, "an active task stays as it is");
    }
    // A long reason is cut, and what cannot be stored is taken out.
    let task = setup.create(waiting()).await?;
    let canceled = setup.cancel(&task.id, &format!("a\0b{}", "c".repeat(5_000))).await?;
    assert!(canceled.error.starts_with("a\u{fffd}bc") && canceled.error.len() <= 4_100, "{}", canceled.error.len());
    setup.close().await
}

#[tokio::test]
async fn a_running_task_is_canceled_and_its_slot_is_free_when_the_worker_says_so() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(1).await?;
    let task = setup.create(noop()).await?;
    let run = next_run(&mut worker).await?;
    let canceled = setup.cancel(&task.id, "").await?;
    assert_eq!((canceled.state(), canceled.run), (TaskState::Canceled, 1));
    let stop = next_stop(&mut worker).await?;
    assert_eq!((stop.task_id.as_str(), stop.run, stop.reason()), (task.id.as_str(), 1, StopReason::Canceled));

    // The work may still be under way: the next task waits.
    let next = setup.create(noop()).await?;
    no_run(&mut worker).await?;
    worker.stopped(&run).await?;
    assert_eq!(worker.verdict(&run, SOON).await?, Verdict::Refused);
    assert_eq!(next_run(&mut worker).await?.task_id, next.id);

    // A result that crosses the cancel is refused, and the slot is free as well.
    let last = setup.create(noop()).await?;
    setup.cancel(&next.id, "").await?;
    let crossed = taskyard_proto::v1::Assignment { task_id: next.id.clone(), run: 1, ..Default::default() };
    worker.complete(&crossed).await?;
    assert_eq!(worker.verdict(&crossed, SOON).await?, Verdict::Refused);
    assert_eq!(setup.get(&next.id).await?.state(), TaskState::Canceled);
    assert_eq!(next_run(&mut worker).await?.task_id, last.id);
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn a_manual_task_is_completed_by_hand_and_never_started() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(10).await?;
    let task = setup.create(NewTask { payload: "[1]".into(), ..manual() }).await?;
    assert_eq!(task.state(), TaskState::Open);
    no_run(&mut worker).await?;
    assert_eq!(wrong_fields(setup.complete(&task.id, "{").await), ["result"]);
    assert_eq!(wrong_fields(setup.complete(&task.id, &format!("\"{}\"", "x".repeat(1 << 20))).await), ["result"]);
    let done = setup.complete(&task.id, r#"{"by":"hand"}"#).await?;
    assert_eq!((done.state(), done.version, done.run), (TaskState::Completed, 2, 0));
    assert_eq!((&done.result[..], &done.payload[..]), (&br#"{"by":"hand"}"#[..], &b"[1]"[..]));
    assert_eq!(setup.complete(&task.id, "2").await?, done, "it stays as it is");
    let plain = setup.create(manual()).await?;
    assert_eq!(setup.complete(&plain.id, "").await?.result, "null");
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn what_a_state_does_not_allow_is_refused_and_changes_nothing() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(3).await?;
    let running = setup.create(noop()).await?;
    next_run(&mut worker).await?;
    let completed = setup.create(noop()).await?;
    let run = next_run(&mut worker).await?;
    worker.complete(&run).await?;
    worker.verdict(&run, SOON).await?;
    let dead =
        setup.create(NewTask { retry: Some(RetryPolicy { attempts_max: 1, ..Default::default() }), ..noop() }).await?;
    let run = next_run(&mut worker).await?;
    worker.fail(&run, "broken").await?;
    worker.verdict(&run, SOON).await?;
    worker.slots(1).await?;
    let ready = setup.create(waiting()).await?;
    let open = setup.create(manual()).await?;
    let done_by_hand = setup.create(manual()).await?;
    setup.complete(&done_by_hand.id, "").await?;
    let canceled = setup.create(waiting()).await?;
    setup.cancel(&canceled.id, "").await?;

    let ids = [&running, &completed, &dead, &ready, &open, &done_by_hand, &canceled].map(|task| task.id.clone());
    let before = futures::future::try_join_all(ids.iter().map(|id| setup.get(id))).await?;
    let soon = || TaskUpdate { due_time: timestamp(Utc::now() + TimeDelta::hours(1)), ..Default::default() };
    let wrong = ErrorCode::WrongState;
    for task in [&completed, &dead, &done_by_hand] {
        assert_eq!(refused(setup.cancel(&task.id, "").await), wrong);
    }
    for task in [&running, &completed, &dead, &ready, &canceled] {
        assert_eq!(refused(setup.complete(&task.id, "").await), wrong);
    }
    for task in [&completed, &done_by_hand] {
        assert_eq!(refused(setup.retry(&task.id).await), wrong);
    }
    assert_eq!(refused(setup.delete(&running.id).await), wrong);
    for task in [&running, &completed, &dead, &open, &canceled] {
        assert_eq!(refused(setup.update(&task.id, "due_time", soon(), 0).await), wrong);
    }
    for task in [&completed, &dead, &canceled] {
        assert_eq!(refused(setup.update(&task.id, "priority", TaskUpdate::default(), 0).await), wrong);
    }
    let after = futures::future::try_join_all(ids.iter().map(|id| setup.get(id))).await?;
    assert_eq!(before, after);

    // What is not there, or never was an id.
    let nobody = Uuid::now_v7().to_string();
    for (id, code) in
        [(nobody.as_str(), ErrorCode::TaskNotFound), ("", ErrorCode::InvalidInput), ("x", ErrorCode::InvalidInput)]
    {
        assert_eq!(refused(setup.get(id).await), code);
        assert_eq!(refused(setup.cancel(id, "").await), code);
        assert_eq!(refused(setup.complete(id, "").await), code);
        assert_eq!(refused(setup.retry(id).await), code);
        assert_eq!(refused(setup.delete(id).await), code);
        assert_eq!(refused(setup.update(id, "title", TaskUpdate::default(), 0).await), code);
    }
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn a_dead_task_is_retried_with_all_its_attempts_and_its_run_goes_on() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(1).await?;
    let retry = Some(RetryPolicy { attempts_max: 2, backoff: millis(1), backoff_max: millis(1) });
    let task = setup.create(NewTask { retry, ..noop() }).await?;
    for expected in [(1, 0), (2, 1)] {
        let run = next_run(&mut worker).await?;
        assert_eq!((run.run, run.attempt), expected);
        worker.fail(&run, "broken").await?;
    }
    let dead = setup.until(&task.id, TaskState::Dead).await?;
    assert_eq!((dead.run, dead.attempt, dead.error.as_str()), (2, 2, "broken"));
    let retried = setup.retry(&task.id).await?;
    // The worker may have it already.
    assert_eq!((retried.attempt, retried.error.as_str()), (0, ""));
    assert!(retried.run <= 3, "{retried:?}");
    let run = next_run(&mut worker).await?;
    assert_eq!((run.run, run.attempt, run.attempts_max), (3, 0, 2));
    worker.fail(&run, "again").await?;
    let run = next_run(&mut worker).await?;
    assert_eq!((run.run, run.attempt), (4, 1));
    worker.complete(&run).await?;
    let done = setup.until(&task.id, TaskState::Completed).await?;
    assert_eq!((done.run, done.attempt, done.error.as_str()), (4, 1, ""));
    drop(worker);
    setup.close().await
}

async fn retry_by(setup: &Setup, filter: TaskFilter) -> Result<Answer<Vec<RetryTasksResponse>>> {
    let mut stream = match read(setup.tasks.clone().retry_tasks(RetryTasksRequest { filter: Some(filter) }).await) {
        Ok(stream) => stream,
        Err(error) => return Ok(Err(error)),
    };
    let mut told = Vec::new();
    loop {
        match tokio::time::timeout(SOON, stream.message()).await? {
            Ok(Some(progress)) => told.push(progress),
            Ok(None) => return Ok(Ok(told)),
            Err(status) => return Ok(read::<()>(Err(status)).map(|()| told)),
        }
    }
}

#[tokio::test]
async fn dead_tasks_are_retried_by_filter_with_progress() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(500).await?;
    let once = || Some(RetryPolicy { attempts_max: 1, ..Default::default() });
    let dead = |n: usize| NewTask { queue: format!("q{}", n % 2), retry: once(), ..noop() };
    setup.create_all((0..450).map(dead).collect()).await?;
    for run in worker.runs(450, SOON).await? {
        worker.fail(&run, "broken").await?;
    }
    setup.stack.wait_for(TaskState::Dead, 450, SOON).await?;
    worker.goodbye().await?;
    let canceled = setup.create(waiting()).await?;
    setup.cancel(&canceled.id, "").await?;

    let queue = |name: &str| TaskFilter { queue: name.to_owned(), ..TaskFilter::default() };
    let told = retry_by(&setup, queue("q1")).await??;
    assert_eq!(told.last(), Some(&RetryTasksResponse { retried: 225, done: true }));
    assert_eq!(told.iter().filter(|progress| progress.done).count(), 1);
    assert!(told.is_sorted_by_key(|progress| progress.retried));
    assert_eq!(setup.stack.number("select count(*) from tasks.active where queue = 'q1' and state = 3").await?, 225);
    assert_eq!(setup.stack.number("select count(*) from tasks.finished where queue = 'q0' and state = 6").await?, 225);

    // The rest, in several chunks; canceled ones are not touched.
    let told = retry_by(&setup, TaskFilter { states: vec![TaskState::Dead.into()], ..TaskFilter::default() }).await??;
    assert_eq!(told.last(), Some(&RetryTasksResponse { retried: 225, done: true }));
    assert!(told.len() > 1, "it tells how far it has come");
    assert_eq!(setup.stack.count(TaskState::Ready).await?, 450);
    assert_eq!(setup.get(&canceled.id).await?.state(), TaskState::Canceled);
    let told = retry_by(&setup, TaskFilter::default()).await??;
    assert_eq!(told, [RetryTasksResponse { retried: 0, done: true }]);

    let running = TaskFilter { states: vec![TaskState::Canceled.into()], ..TaskFilter::default() };
    assert_eq!(wrong_fields(retry_by(&setup, running).await?), ["filter.states"]);
    // They run again.
    let mut worker = setup.worker_with(500).await?;
    let runs = worker.runs(450, SOON).await?;
    assert!(runs.iter().all(|run| (run.run, run.attempt) == (2, 0)));
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn only_what_the_mask_names_is_changed() -> Result<()> {
    let setup = Setup::open().await?;
    let labels = |value: &str| BTreeMap::from([("team".to_owned(), value.to_owned())]);
    let new = NewTask { title: "old".into(), description: "old".into(), labels: labels("old"), ..waiting() };
    let task = setup.create(new).await?;
    let all = TaskUpdate {
        title: "new".into(),
        description: "new".into(),
        labels: labels("new"),
        priority: 9,
        due_time: timestamp(Utc::now() + TimeDelta::hours(1)),
    };
    let updated = setup.update(&task.id, "title", all.clone(), 0).await?;
    assert_eq!((updated.title.as_str(), updated.description.as_str(), updated.version), ("new", "old", 2));
    assert_eq!((&updated.labels, updated.priority, updated.state()), (&labels("old"), 5, TaskState::Ready));
    let updated = setup.update(&task.id, "description,labels", all.clone(), 2).await?;
    assert_eq!((updated.description.as_str(), &updated.labels, updated.version), ("new", &labels("new"), 3));

    // Another version than the caller saw: nothing happens.
    for version in [2, 4, u32::MAX] {
        assert_eq!(refused(setup.update(&task.id, "title", all.clone(), version).await), ErrorCode::VersionMismatch);
    }
    let emptied = setup.update(&task.id, "title,labels", TaskUpdate::default(), 3).await?;
    assert_eq!((emptied.title.as_str(), emptied.labels, emptied.version), ("", BTreeMap::new(), 4));

    for (mask, new, field) in [
        ("state", all.clone(), "update_mask"),
        ("", all.clone(), "update_mask"),
        ("title", TaskUpdate { title: "a\0b".into(), ..all.clone() }, "title"),
        ("description", TaskUpdate { description: "x".repeat(65_537), ..all.clone() }, "description"),
        ("labels", TaskUpdate { labels: labels(&"x".repeat(257)), ..all.clone() }, "labels.team"),
        ("priority", TaskUpdate { priority: 10, ..all.clone() }, "priority"),
        ("due_time", TaskUpdate { due_time: timestamp(Utc::now() + TimeDelta::days(400)), ..all.clone() }, "due_time"),
    ] {
        assert_eq!(wrong_fields(setup.update(&task.id, mask, new, 0).await), [field]);
    }

    // Finished tasks keep their texts up to date.
    setup.cancel(&task.id, "").await?;
    let updated = setup.update(&task.id, "title", all.clone(), 5).await?;
    assert_eq!((updated.title.as_str(), updated.state(), updated.version), ("new", TaskState::Canceled, 6));
    assert_eq!(refused(setup.update(&task.id, "title", all, 5).await), ErrorCode::VersionMismatch);
    let events = setup.events_until(&task.id, 6).await?;
    let expected = [
        EventType::Created,
        EventType::Updated,
        EventType::Updated,
        EventType::Updated,
        EventType::Canceled,
        EventType::Updated,
    ];
    assert_eq!(events.iter().map(|event| event.r#type()).collect::<Vec<_>>(), expected);
    setup.close().await
}

#[tokio::test]
async fn a_changed_priority_changes_the_order_and_a_changed_time_the_start() -> Result<()> {
    let setup = Setup::open().await?;
    // All are in the leader's memory before the first one starts.
    let mut worker = setup.worker_with(0).await?;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(setup.create(noop()).await?.id);
    }
    let later = setup.create(NewTask { delay: seconds(3_600), ..noop() }).await?.id;
    setup.update(&ids[2], "priority", TaskUpdate { priority: 9, ..Default::default() }, 0).await?;
    setup.update(&ids[0], "priority", TaskUpdate { priority: 1, ..Default::default() }, 0).await?;
    worker.slots(1).await?;
    for id in [&ids[2], &ids[1], &ids[0]] {
        let run = next_run(&mut worker).await?;
        assert_eq!(run.task_id, *id);
        worker.complete(&run).await?;
    }
    no_run(&mut worker).await?;

    // Earlier: at once. Later: not before.
    let now = setup.update(&later, "due_time", TaskUpdate::default(), 0).await?;
    // The worker may have it already.
    assert!(matches!(now.state(), TaskState::Ready | TaskState::Running), "{now:?}");
    let run = next_run(&mut worker).await?;
    assert_eq!(run.task_id, later);
    let moved = setup.create(noop()).await?.id;
    let due = Utc::now() + TimeDelta::milliseconds(2_000);
    let task =
        setup.update(&moved, "due_time", TaskUpdate { due_time: timestamp(due), ..Default::default() }, 0).await?;
    assert_eq!(task.state(), TaskState::Scheduled);
    worker.complete(&run).await?;
    no_run(&mut worker).await?;
    assert_eq!(next_run(&mut worker).await?.task_id, moved);
    let events = setup.events_until(&moved, 4).await?;
    assert_eq!(events[2].r#type(), EventType::Due);
    let late = time(events[2].time) - due;
    assert!(late >= TimeDelta::zero() && late < TimeDelta::seconds(1), "due {late} late");
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn a_deleted_task_is_gone_and_its_events_remain() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(1).await?;
    let secret =
        NewTask { title: "secret".into(), description: "secret".into(), payload: "\"secret\"".into(), ..manual() };
    let open = setup.create(secret).await?;
    setup.delete(&open.id).await?;
    assert_eq!(refused(setup.get(&open.id).await), ErrorCode::TaskNotFound);
    assert_eq!(refused(setup.delete(&open.id).await), ErrorCode::TaskNotFound);
    let events = setup.events_until(&open.id, 2).await?;
    assert_eq!(events.iter().map(|event| event.r#type()).collect::<Vec<_>>(), [EventType::Created, EventType::Deleted]);
    assert_eq!((events[1].from_state(), events[1].to_state()), (TaskState::Open, TaskState::Unspecified));
    assert!(events.iter().all(|event| event.title.is_empty()), "its texts are gone");
    let kept = "select count(*) from tasks.documents where title || description || convert_from(payload, 'utf8') like '%secret%'";
    assert_eq!(setup.stack.number(kept).await?, 0);

    let task = setup.create(noop()).await?;
    let run = next_run(&mut worker).await?;
    assert_eq!(refused(setup.delete(&task.id).await), ErrorCode::WrongState);
    worker.report(&run, Outcome::Failed(Failed { fatal: true, ..Failed::default() })).await?;
    setup.until(&task.id, TaskState::Dead).await?;
    setup.delete(&task.id).await?;
    // Nothing brings it back.
    assert_eq!(refused(setup.retry(&task.id).await), ErrorCode::TaskNotFound);
    assert_eq!(setup.stack.number("select count(*) from tasks.active").await?, 0);
    assert_eq!(setup.stack.number("select count(*) from tasks.finished").await?, 0);
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn many_commands_at_once_on_one_task_all_find_their_turn() -> Result<()> {
    let setup = Setup::open().await?;
    let task = setup.create(manual()).await?;
    let title = |n: usize| TaskUpdate { title: n.to_string(), ..TaskUpdate::default() };
    let mut version = 1;
    // Of an active task, then of a finished one.
    for _ in 0..2 {
        futures::future::try_join_all((0..40).map(|n| setup.update(&task.id, "title", title(n), 0))).await?;
        version += 40;
        assert_eq!(setup.get(&task.id).await?.version, version);
        // With a version, one of them wins.
        let updates = (0..10).map(|n| setup.update(&task.id, "title", title(n), version));
        let won = futures::future::join_all(updates).await.into_iter().filter(Result::is_ok).count();
        version += 1;
        assert_eq!((won, setup.get(&task.id).await?.version), (1, version));
        // All want the same, and get it.
        futures::future::try_join_all((0..20).map(|_| setup.cancel(&task.id, ""))).await?;
        version += u32::from(version < 50);
        assert_eq!(setup.get(&task.id).await?.version, version);
    }
    // Back and forth: whoever finds it in another state than wanted is told so.
    let mut calls = Vec::new();
    for n in 0..60 {
        let (setup, id) = (&setup, &task.id);
        calls.push(async move {
            let answer = match n % 3 {
                0 => setup.retry(id).await,
                1 => setup.cancel(id, "").await,
                _ => setup.update(id, "title", title(n), 0).await,
            };
            answer.map_or_else(|error| assert_eq!(error.code, ErrorCode::WrongState), |_| ());
        });
    }
    futures::future::join_all(calls).await;
    let version = setup.get(&task.id).await?.version;
    let events = setup.events_until(&task.id, version).await?;
    assert!(events.iter().map(|event| event.version).eq(1..=version), "in order, without gap");
    assert!(events.windows(2).all(|pair| pair[0].to_state() == pair[1].from_state()));

    // One deletes it, the others find it gone.
    let deleted = futures::future::join_all((0..20).map(|_| setup.delete(&task.id))).await;
    assert_eq!(deleted.iter().filter(|answer| answer.is_ok()).count(), 1);
    for answer in deleted.into_iter().filter(Result::is_err) {
        assert_eq!(refused(answer), ErrorCode::TaskNotFound);
    }
    setup.close().await
}

#[tokio::test]
async fn what_several_retry_at_once_is_retried_once() -> Result<()> {
    let setup = Setup::open().await?;
    let tasks: Vec<NewTask> = (0..300).map(|_| manual()).collect();
    setup.create_all(tasks).await?;
    // As if all had failed.
    for sql in [
        "insert into tasks.finished (namespace, id, xact, due_at, finished_at, version, run, payload_bytes, state, \
         priority, attempt, queue, kind) select namespace, id, xact, due_at, now(), 2, 1, 4, 6, priority, 1, queue, kind \
         from tasks.active",
        "delete from tasks.active",
    ] {
        sqlx::query(sql).execute(&setup.stack.pool).await?;
    }
    let told = futures::future::join_all((0..6).map(|_| retry_by(&setup, TaskFilter::default()))).await;
    let mut retried = 0;
    for told in told {
        retried += told??.last().map_or(0, |progress| progress.retried);
    }
    assert_eq!(retried, 300);
    assert_eq!(setup.stack.number("select count(*) from tasks.events where type = 5").await?, 300);
    assert_eq!(setup.stack.count(TaskState::Open).await?, 300);
    setup.close().await
}
