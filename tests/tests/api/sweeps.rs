//! What people do to all tasks that match: cancel, complete by hand, retry; and commands made for a version.

use std::{collections::HashSet, time::Duration};

use anyhow::Result;
use taskyard_client::{Client, Pods};
use taskyard_core::ErrorCode;
use taskyard_proto::v1::{
    CancelTaskRequest, CancelTasksRequest, CancelTasksResponse, CompleteTaskRequest, CompleteTasksRequest,
    CompleteTasksResponse, DeleteTaskRequest, NewTask, RetryTaskRequest, StopReason, TaskFilter, TaskState,
};
use taskyard_testkit::eventually;
use taskyard_tests::{Answer, SOON, Setup, manual, new_task, noop, read, seconds};
use tokio::task::JoinSet;
use tonic::{Response, Status, Streaming};
use uuid::Uuid;

use crate::expect::{next_run, next_stop, refused, wrong_fields};

fn in_queue(name: &str) -> TaskFilter {
    TaskFilter { queue: name.to_owned(), ..TaskFilter::default() }
}

fn in_states(states: &[TaskState]) -> TaskFilter {
    TaskFilter { states: states.iter().map(|state| (*state).into()).collect(), ..TaskFilter::default() }
}

/// All reports of a command.
async fn told<T>(opened: std::result::Result<Response<Streaming<T>>, Status>) -> Answer<Vec<T>> {
    let mut reports = read(opened)?;
    let mut told = Vec::new();
    loop {
        match tokio::time::timeout(SOON, reports.message()).await.expect("a report comes in time") {
            Ok(Some(report)) => told.push(report),
            Ok(None) => return Ok(told),
            Err(status) => return read(Err(status)),
        }
    }
}

async fn cancel(setup: &Setup, filter: TaskFilter, reason: &str) -> Answer<Vec<CancelTasksResponse>> {
    let request = CancelTasksRequest { filter: Some(filter), reason: reason.to_owned() };
    told(setup.tasks.clone().cancel_tasks(request).await).await
}

async fn complete(setup: &Setup, filter: TaskFilter, result: &str) -> Answer<Vec<CompleteTasksResponse>> {
    let request = CompleteTasksRequest { filter: Some(filter), result: result.to_owned().into() };
    told(setup.tasks.clone().complete_tasks(request).await).await
}

#[tokio::test]
async fn waiting_and_running_tasks_are_canceled_by_filter() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(2).await?;
    let place = |n: usize| format!("q{}", n % 2);
    let running: Vec<_> = (0..2).map(|n| NewTask { queue: place(n), ..noop() }).collect();
    setup.create_all(running.clone()).await?;
    let runs = worker.runs(2, SOON).await?;
    let new = (0..450).map(|n| match n % 3 {
        0 => NewTask { queue: place(n), ..manual() },
        1 => NewTask { queue: place(n), delay: seconds(3_600), ..noop() },
        _ => NewTask { queue: place(n), ..new_task("for-nobody") },
    });
    setup.create_all(new.collect()).await?;

    let reports = cancel(&setup, in_queue("q1"), "closed for good").await?;
    assert_eq!(reports.last(), Some(&CancelTasksResponse { canceled: 226, done: true }));
    assert!(reports.len() > 1 && reports.is_sorted_by_key(|report| report.canceled), "it tells how far it has come");
    assert_eq!(setup.stack.number("select count(*) from tasks.active where queue = 'q1'").await?, 0);
    assert_eq!(setup.stack.number("select count(*) from tasks.active where queue = 'q0'").await?, 226);
    let canceled = "select count(*) from tasks.finished where queue = 'q1' and state = 7 and error = 'closed for good'";
    assert_eq!(setup.stack.number(canceled).await?, 226);
    let events = "select count(*) from tasks.events where type = 8 and to_state = 7 and error = 'closed for good'";
    assert_eq!(setup.stack.number(events).await?, 226);

    // The running one's worker is told, and its slot is free when it says so.
    let stop = next_stop(&mut worker).await?;
    assert_eq!((stop.task_id.as_str(), stop.reason()), (running[1].id.as_str(), StopReason::Canceled));
    let stopped = runs.iter().find(|run| run.task_id == stop.task_id).expect("it was running");
    worker.stopped(stopped).await?;
    let next = setup.create(noop()).await?;
    assert_eq!(next_run(&mut worker).await?.task_id, next.id);

    // Again: nothing is left. By state: only that.
    let done = |canceled| CancelTasksResponse { canceled, done: true };
    assert_eq!(cancel(&setup, in_queue("q1"), "").await?, [done(0)]);
    assert_eq!(cancel(&setup, in_states(&[TaskState::Scheduled]), "").await?.last(), Some(&done(75)));
    assert_eq!(setup.stack.count(TaskState::Open).await?, 75);
    assert_eq!(setup.stack.count(TaskState::Running).await?, 2);
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn a_command_for_all_that_match_must_say_what_matches() -> Result<()> {
    let setup = Setup::open().await?;
    setup.create(manual()).await?;
    assert_eq!(wrong_fields(cancel(&setup, TaskFilter::default(), "").await), ["filter"]);
    assert_eq!(wrong_fields(complete(&setup, TaskFilter::default(), "").await), ["filter"]);
    for state in [TaskState::Completed, TaskState::Dead, TaskState::Canceled] {
        assert_eq!(wrong_fields(cancel(&setup, in_states(&[TaskState::Open, state]), "").await), ["filter.states"]);
    }
    assert_eq!(wrong_fields(complete(&setup, in_states(&[TaskState::Ready]), "").await), ["filter.states"]);
    assert_eq!(wrong_fields(complete(&setup, in_queue("default"), "{").await), ["result"]);
    assert_eq!(wrong_fields(cancel(&setup, in_queue("a b"), "").await), ["queue"]);
    assert_eq!(setup.stack.count(TaskState::Open).await?, 1);
    // All, if it is said.
    let all = in_states(&[TaskState::Open, TaskState::Scheduled, TaskState::Ready, TaskState::Running]);
    assert_eq!(cancel(&setup, all, "").await?.last().map(|report| report.canceled), Some(1));
    setup.close().await
}

#[tokio::test]
async fn manual_tasks_are_completed_by_filter_all_with_the_same_result() -> Result<()> {
    let setup = Setup::open().await?;
    let people = (0..450).map(|_| NewTask { queue: "people".into(), ..manual() });
    let created = setup.create_all(people.collect()).await?;
    let machine = setup.create(NewTask { queue: "people".into(), ..new_task("for-nobody") }).await?;
    let other = setup.create(manual()).await?;
    let reports = complete(&setup, in_queue("people"), r#"{"by": "all"}"#).await?;
    assert_eq!(reports.last(), Some(&CompleteTasksResponse { completed: 450, done: true }));
    let (id, _) = crate::expect::outcome(&created[7]).expect("it was created");
    let done = setup.get(id).await?;
    assert_eq!((done.state(), done.version, &done.result[..]), (TaskState::Completed, 2, &br#"{"by": "all"}"#[..]));
    assert_eq!(setup.stack.number("select count(*) from tasks.events where type = 6").await?, 450);
    assert_eq!(setup.get(&machine.id).await?.state(), TaskState::Ready, "it is no person's");
    assert_eq!(setup.get(&other.id).await?.state(), TaskState::Open);
    let again = complete(&setup, in_queue("people"), "2").await?;
    assert_eq!(again, [CompleteTasksResponse { completed: 0, done: true }]);
    setup.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_all_that_match_are_canceled_once_and_nothing_else() -> Result<()> {
    let setup = Setup::open().await?;
    let client = Client::new(Pods::connect([setup.pod.url()], taskyard_tests::token())?);
    // Three quarters of what is handed in is to be canceled, while a worker starts and finishes all of it.
    let queue = |n: usize| if n.is_multiple_of(4) { "kept" } else { "closed" };
    let mut ids = HashSet::new();
    let mut tasks = Vec::new();
    for n in 0..6_000 {
        let task = NewTask { queue: queue(n).into(), ..noop() };
        ids.insert(task.id.clone());
        tasks.push(task);
    }
    let late = tasks.split_off(3_000);
    client.create_tasks(tasks).await?;
    let mut worker = setup.worker_with(50).await?;
    let working = tokio::spawn(async move {
        let mut stopped = 0;
        // Until nothing comes any more.
        while let Some(run) = worker.next_run(Duration::from_secs(4)).await? {
            worker.complete(&run).await?;
            stopped += std::mem::take(&mut worker.stops).len();
        }
        anyhow::Ok(stopped)
    });
    let creating = tokio::spawn({
        let client = client.clone();
        async move {
            for batch in late.chunks(200) {
                client.create_tasks(batch.to_vec()).await?;
            }
            anyhow::Ok(())
        }
    });
    // Three callers at the same tasks, again and again until the last one was handed in.
    let mut sweeps = JoinSet::new();
    for _ in 0..3 {
        let client = client.clone();
        sweeps.spawn(async move {
            let mut sweep = client.cancel_tasks(in_queue("closed"), "closed");
            let mut canceled = 0;
            while let Some(report) = sweep.next().await? {
                canceled = report.canceled;
            }
            anyhow::Ok(canceled)
        });
    }
    let mut canceled = 0;
    while let Some(sweep) = sweeps.join_next().await {
        canceled += sweep??;
    }
    creating.await??;
    let mut last = client.cancel_tasks(in_queue("closed"), "closed");
    let mut by_last = 0;
    while let Some(report) = last.next().await? {
        by_last = report.canceled;
    }
    canceled += by_last;

    // None is left, at once.
    assert_eq!(setup.stack.number("select count(*) from tasks.active where queue = 'closed'").await?, 0);
    eventually(SOON * 3, "the kept ones are worked off", async || {
        setup.stack.number("select count(*) from tasks.active").await.ok().filter(|left| *left == 0)
    })
    .await?;
    working.await??;
    let ended = setup.stack.number("select count(*) from tasks.finished").await?;
    assert_eq!(ended, 6_000);
    let of = |sql| setup.stack.number(sql);
    assert_eq!(of("select count(*) from tasks.finished where queue = 'kept' and state = 5").await?, 1_500);
    let in_database = of("select count(*) from tasks.finished where queue = 'closed' and state = 7").await?;
    assert_eq!(u64::try_from(in_database)?, canceled, "each is counted by the caller that canceled it, and once");
    assert!(canceled > 0);
    assert_eq!(of("select count(*) from tasks.events where type = 8").await?, in_database);
    setup.close().await
}

#[tokio::test]
async fn a_task_that_changes_at_that_moment_is_not_passed_over() -> Result<()> {
    let setup = Setup::open().await?;
    let pool = &setup.stack.pool;
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(setup.create(new_task("for-nobody")).await?.id.parse::<Uuid>()?);
    }
    ids.sort_unstable();
    // The cancel waits for the first one, and has its transaction's id by then.
    let mut held = pool.begin().await?;
    sqlx::query("select from tasks.active where id = $1 for update").bind(ids[0]).execute(&mut *held).await?;
    let tasks = setup.tasks.clone();
    let canceling = tokio::spawn(async move {
        let request = CancelTasksRequest { filter: Some(in_queue("default")), reason: String::new() };
        told(tasks.clone().cancel_tasks(request).await).await
    });
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    eventually(SOON, "the cancel waits", async || setup.stack.number(waiting).await.ok().filter(|count| *count == 1))
        .await?;
    // Meanwhile the second one changes, in a later transaction: this statement has to leave it alone.
    let change = "update tasks.active set xact = pg_current_xact_id()::text::bigint where id = $1";
    sqlx::query(change).bind(ids[1]).execute(pool).await?;
    held.rollback().await?;
    let reports = canceling.await??;
    assert_eq!(reports.last(), Some(&CancelTasksResponse { canceled: 2, done: true }), "{reports:?}");
    assert_eq!(reports[0].canceled, 1, "it took two statements: {reports:?}");
    setup.close().await
}

#[tokio::test]
async fn a_command_for_another_version_is_refused_and_for_its_own_can_be_repeated() -> Result<()> {
    let setup = Setup::open().await?;
    let tasks = || setup.tasks.clone();
    let cancel = async |id: &str, version| {
        let request = CancelTaskRequest { id: id.to_owned(), version, reason: "why".into() };
        Ok(read(tasks().cancel_task(request).await)?.task.unwrap_or_default())
    };
    let retry = async |id: &str, version| {
        let request = RetryTaskRequest { id: id.to_owned(), version };
        Ok(read(tasks().retry_task(request).await)?.task.unwrap_or_default())
    };
    let complete = async |id: &str, version| {
        let request = CompleteTaskRequest { id: id.to_owned(), version, ..CompleteTaskRequest::default() };
        Ok(read(tasks().complete_task(request).await)?.task.unwrap_or_default())
    };
    let delete = async |id: &str, version| {
        read(tasks().delete_task(DeleteTaskRequest { id: id.to_owned(), version }).await).map(drop)
    };
    let mismatch = ErrorCode::VersionMismatch;
    let task = setup.create(new_task("for-nobody")).await?.id;
    for version in [2, u32::MAX] {
        assert_eq!(refused(cancel(&task, version).await), mismatch);
        assert_eq!(refused(delete(&task, version).await), mismatch);
        assert_eq!(refused(complete(&task, version).await), mismatch);
        assert_eq!(refused(retry(&task, version).await), mismatch);
    }
    assert_eq!(setup.get(&task).await?.version, 1, "nothing has happened");
    let canceled = cancel(&task, 1).await?;
    assert_eq!((canceled.state(), canceled.version), (TaskState::Canceled, 2));
    // The same again, as after an answer that was lost; and once more by who knows how it stands.
    assert_eq!(cancel(&task, 1).await?, canceled);
    assert_eq!(cancel(&task, 2).await?, canceled);
    assert_eq!(refused(cancel(&task, 3).await), mismatch);
    let retried = retry(&task, 2).await?;
    assert_eq!((retried.state(), retried.version), (TaskState::Ready, 3));
    assert_eq!(retry(&task, 2).await?, retried);
    assert_eq!(refused(cancel(&task, 1).await), mismatch, "it is another task by now");
    assert_eq!(refused(delete(&task, 2).await), mismatch);
    delete(&task, 3).await?;
    assert_eq!(refused(delete(&task, 3).await), ErrorCode::TaskNotFound);

    let open = setup.create(manual()).await?.id;
    assert_eq!(refused(complete(&open, 2).await), mismatch);
    let completed = complete(&open, 1).await?;
    assert_eq!(completed.version, 2);
    assert_eq!(complete(&open, 1).await?, completed);
    assert_eq!(refused(complete(&open, 3).await), mismatch);
    assert_eq!(refused(cancel(&open, 2).await), ErrorCode::WrongState);
    setup.close().await
}
