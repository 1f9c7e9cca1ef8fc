//! Queues: what they show, pauses, limits.

use std::time::Duration;

use anyhow::Result;
use taskyard_core::ErrorCode;
use taskyard_proto::v1::{
    GetBacklogRequest, ListQueuesRequest, NewTask, PauseQueueRequest, Queue, SetQueueLimitsRequest, TaskState,
};
use taskyard_testkit::eventually;
use taskyard_tests::{RawWorker, SOON, Setup, Stack, WorkerOptions, manual, new_task, noop, read, seconds};

use crate::expect::{NEVER, next_run, no_run, refused, wrong_fields};

/// Well before the leader would find out by itself, every 10 s.
const AT_ONCE: Duration = Duration::from_secs(6);

fn in_queue(queue: &str) -> NewTask {
    NewTask { queue: queue.to_owned(), ..noop() }
}

#[tokio::test]
async fn a_queue_shows_what_waits_and_runs_in_it() -> Result<()> {
    let setup = Setup::open().await?;
    assert!(read(setup.queues.clone().list_queues(ListQueuesRequest::default()).await)?.queues.is_empty());
    let serving = |queues: &[&str], slots| WorkerOptions {
        queues: queues.iter().map(ToString::to_string).collect(),
        slots,
        ..WorkerOptions::default()
    };
    let mut a = setup.worker(serving(&["a"], 2)).await?;
    let ab = setup.worker(WorkerOptions { kinds: vec!["other".into()], ..serving(&["a", "b"], 0) }).await?;
    let mut any = setup.worker(WorkerOptions { kinds: vec!["other".into()], ..serving(&[], 7) }).await?;
    setup.create_all((0..5).map(|_| in_queue("a")).collect()).await?;
    let runs = a.runs(2, SOON).await?;
    for new in [manual(), NewTask { delay: seconds(3_600), ..noop() }, NewTask { delay: seconds(3_600), ..noop() }] {
        setup.create(NewTask { queue: "a".into(), ..new }).await?;
    }
    setup.create(in_queue("b")).await?;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let queue = setup.queue("a").await?;
    let age = queue.oldest_ready_age.unwrap_or_default();
    assert!((1..30).contains(&age.seconds), "{age:?}");
    let expected = Queue {
        name: "a".into(),
        paused: false,
        concurrency_max: 0,
        ready: 3,
        scheduled: 2,
        open: 1,
        running: 2,
        oldest_ready_age: Some(age),
        worker_slots: 9,
        workers: 3,
    };
    assert_eq!(queue, expected);
    let queue = setup.queue("b").await?;
    assert_eq!((queue.ready, queue.running, queue.scheduled, queue.open), (1, 0, 0, 0));
    assert_eq!((queue.workers, queue.worker_slots), (2, 7));

    // It follows.
    a.complete(&runs[0]).await?;
    next_run(&mut a).await?;
    any.goodbye().await?;
    ab.slots(4).await?;
    let follows = eventually(SOON, "the queue follows", async || {
        let queue = setup.queue("a").await.ok()?;
        ((queue.ready, queue.running, queue.workers, queue.worker_slots) == (2, 2, 2, 6)).then_some(())
    });
    follows.await?;
    drop((a, ab, any));
    setup.close().await
}

#[tokio::test]
async fn queues_come_in_pages_by_name() -> Result<()> {
    let setup = Setup::open().await?;
    let mut names: Vec<String> = (0..25).map(|n| format!("q{n}")).chain(["A".into(), "b.c".into()]).collect();
    setup.create_all(names.iter().map(|name| in_queue(name)).collect()).await?;
    names.sort_unstable();
    let mut seen = Vec::new();
    let mut request = ListQueuesRequest { page_size: 10, ..ListQueuesRequest::default() };
    loop {
        let page = read(setup.queues.clone().list_queues(request.clone()).await)?;
        assert!(page.queues.len() <= 10);
        assert!(page.queues.iter().all(|queue| queue.ready == 1));
        seen.extend(page.queues.into_iter().map(|queue| queue.name));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen, names);
    let too_many = ListQueuesRequest { page_size: 501, ..ListQueuesRequest::default() };
    assert_eq!(wrong_fields(read(setup.queues.clone().list_queues(too_many).await)), ["page_size"]);
    let token = ListQueuesRequest { page_token: "\0".into(), ..ListQueuesRequest::default() };
    assert_eq!(wrong_fields(read(setup.queues.clone().list_queues(token).await)), ["page_token"]);

    for name in ["nobodys", &"x".repeat(64)] {
        assert_eq!(refused(setup.pause(name).await), ErrorCode::QueueNotFound);
        assert_eq!(refused(setup.resume(name).await), ErrorCode::QueueNotFound);
        assert_eq!(refused(setup.limit(name, 1).await), ErrorCode::QueueNotFound);
    }
    for name in ["", "a b", "a\0b"] {
        assert_eq!(wrong_fields(setup.pause(name).await), ["name"]);
        assert_eq!(wrong_fields(setup.resume(name).await), ["name"]);
        assert_eq!(wrong_fields(setup.limit(name, 1).await), ["name"]);
    }
    assert_eq!(wrong_fields(setup.limit("q1", 100_001).await), ["concurrency_max"]);
    assert_eq!(setup.limit("q1", 100_000).await?.concurrency_max, 100_000);
    setup.close().await
}

#[tokio::test]
async fn a_paused_queue_starts_nothing_and_the_others_go_on() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(10).await?;
    setup.create(in_queue("a")).await?;
    let running = next_run(&mut worker).await?;
    assert!(setup.pause("a").await?.paused);
    assert!(setup.pause("a").await?.paused, "again");
    // From the answer on nothing of it starts; not even what became ready before.
    setup.create_all((0..3).map(|_| in_queue("a")).collect()).await?;
    setup.create(in_queue("b")).await?;
    assert_eq!(next_run(&mut worker).await?.queue, "b");
    no_run(&mut worker).await?;
    // What runs goes on, and may go back.
    worker.hand_back(&running).await?;
    no_run(&mut worker).await?;
    assert_eq!(setup.queue("a").await?.ready, 4);
    assert!(!setup.resume("a").await?.paused);
    assert_eq!(worker.runs(4, SOON).await?.len(), 4);
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn a_pause_outlives_the_leader() -> Result<()> {
    let mut setup = Setup::open().await?;
    setup.create(in_queue("a")).await?;
    setup.create(in_queue("b")).await?;
    setup.pause("a").await?;
    setup.limit("b", 1).await?;
    let second = setup.stack.pod().await?;
    std::mem::replace(&mut setup.pod, second).stop().await?;
    (setup.tasks, setup.queues) = (setup.pod.tasks().await?, setup.pod.queues().await?);
    let mut worker = setup.worker_with(10).await?;
    setup.create(in_queue("b")).await?;
    assert_eq!(next_run(&mut worker).await?.queue, "b");
    no_run(&mut worker).await?;
    drop(worker);
    setup.close().await
}

/// Completes what comes, at once, until nothing has come for a while.
async fn work_off(mut worker: RawWorker, until_quiet: Duration) -> Result<RawWorker> {
    while let Some(run) = worker.next_run(until_quiet).await? {
        worker.complete(&run).await?;
    }
    Ok(worker)
}

/// The most tasks of a queue that ever ran at once, by the events in their order: a start that a finish made possible
/// has a later transaction than that finish.
const MOST_AT_ONCE: &str = "select max(running)::bigint from (
    select sum(case when to_state = 4 then 1 when from_state = 4 then -1 else 0 end)
        over (order by epoch, xact, case when from_state = 4 then 0 else 1 end, seq rows unbounded preceding) as running
    from tasks.events where queue = 'limited' and type <> 9
) counted";

#[tokio::test]
async fn a_limit_is_never_exceeded_and_reached_at_once() -> Result<()> {
    let setup = Setup::open().await?;
    let second = setup.stack.pod().await?;
    let kinds = || vec!["noop".to_owned(), "other".to_owned()];
    let mut workers = Vec::new();
    for url in [setup.pod.url(), second.url(), second.url()] {
        workers.push(
            RawWorker::open(&url, WorkerOptions { kinds: kinds(), slots: 20, ..WorkerOptions::default() }).await?,
        );
    }
    let mut last = workers.pop().expect("three");
    setup.create(in_queue("limited")).await?;
    assert_eq!(setup.limit("limited", 5).await?.concurrency_max, 5);
    // Two kinds, so two lanes; one limit.
    let batch = (0..400).map(|n| NewTask { queue: "limited".into(), ..new_task(["noop", "other"][n % 2]) });
    setup.create_all(batch.collect()).await?;
    let works = workers.into_iter().map(|worker| tokio::spawn(work_off(worker, Duration::from_secs(3))));
    let works: Vec<_> = works.collect();
    // This one holds one of the five for all the time.
    let held = next_run(&mut last).await?;
    last.slots(0).await?;
    let mut workers = Vec::new();
    for work in works {
        workers.push(work.await??);
    }
    // What `last` got beside the one it holds (its slots were lowered a little later) it finishes now.
    while let Some(run) = last.next_run(NEVER).await? {
        last.complete(&run).await?;
    }
    setup.stack.wait_for(TaskState::Completed, 400, SOON).await?;
    assert_eq!(setup.stack.number(MOST_AT_ONCE).await?, 5, "the limit, exactly");
    last.complete(&held).await?;
    setup.stack.wait_for(TaskState::Completed, 401, SOON).await?;

    // Raised, more start at once; lowered, none until enough have ended; without, all start.
    let mut worker = workers.pop().expect("two");
    drop((workers, last));
    worker.slots(100).await?;
    setup.limit("limited", 2).await?;
    setup.create_all((0..30).map(|_| in_queue("limited")).collect()).await?;
    let mut held = worker.runs(2, SOON).await?;
    no_run(&mut worker).await?;
    setup.limit("limited", 6).await?;
    held.extend(worker.runs(4, AT_ONCE).await?);
    no_run(&mut worker).await?;
    setup.limit("limited", 3).await?;
    for _ in 0..3 {
        worker.complete(&held.remove(0)).await?;
    }
    no_run(&mut worker).await?;
    worker.complete(&held.remove(0)).await?;
    held.extend(worker.runs(1, AT_ONCE).await?);
    no_run(&mut worker).await?;
    // What is canceled leaves room at once, though its worker has not stopped yet.
    setup.cancel(&held[0].task_id, "").await?;
    held.extend(worker.runs(1, AT_ONCE).await?);
    no_run(&mut worker).await?;
    assert_eq!(setup.limit("limited", 0).await?.concurrency_max, 0);
    assert_eq!(worker.runs(22, AT_ONCE).await?.len(), 22);
    assert_eq!(setup.stack.number("select count(*) from tasks.active where state = 3").await?, 0);
    drop(worker);
    second.stop().await?;
    setup.close().await
}

#[tokio::test]
async fn the_backlog_is_what_could_use_workers_now() -> Result<()> {
    let mut stack = Stack::shared().await?;
    // Its worker gives no sign of life while the backlog is waited for.
    stack.flags.extend(["--session-timeout-s".to_owned(), "300".to_owned()]);
    let setup = Setup::on(stack).await?;
    let serving = WorkerOptions { queues: vec!["a".into(), "limited".into()], slots: 3, ..WorkerOptions::default() };
    let of = |queue: &str, kind: &str, count: usize| -> Vec<NewTask> {
        (0..count).map(|_| NewTask { queue: queue.into(), ..new_task(kind) }).collect()
    };
    // The queue is there, and limited, before its tasks are.
    setup.create(NewTask { queue: "limited".into(), ..manual() }).await?;
    let limit = SetQueueLimitsRequest { name: "limited".into(), concurrency_max: 2 };
    read(setup.queues.clone().set_queue_limits(limit).await)?;
    setup.create(NewTask { queue: "paused".into(), ..manual() }).await?;
    read(setup.queues.clone().pause_queue(PauseQueueRequest { name: "paused".into() }).await)?;
    for tasks in [of("a", "noop", 5), of("a", "other", 3), of("limited", "other", 7), of("paused", "noop", 2)] {
        setup.create_all(tasks).await?;
    }
    setup.create(NewTask { delay: seconds(3_600), ..in_queue("a") }).await?;
    let mut worker = setup.worker(serving).await?;
    worker.runs(3, SOON).await?;
    let expected = [("a", "noop", 2, 3), ("a", "other", 3, 0), ("limited", "other", 2, 0), ("paused", "noop", 0, 0)];
    let told = eventually(SOON, "the leader tells the backlog", async || {
        let told = setup.queues.clone().get_backlog(GetBacklogRequest {}).await.ok()?.into_inner().backlogs;
        let lanes = told.iter().map(|lane| (lane.queue.as_str(), lane.kind.as_str(), lane.startable, lane.running));
        lanes.eq(expected).then_some(told)
    });
    let told = told.await?;
    let ages: Vec<bool> = told.iter().map(|lane| lane.oldest_startable_age.is_some_and(|age| age.nanos > 0)).collect();
    assert_eq!(ages, [true, true, true, false], "{told:?}");
    drop(worker);
    setup.close().await
}
