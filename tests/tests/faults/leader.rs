//! A leader that stands still between two of its steps for longer than its lock lives, and then goes on.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sqlx::PgPool;
use taskyard_core::TaskState;
use taskyard_proto::v1::{CreateTaskRequest, NewTask, Verdict};
use taskyard_tasks::fault::FaultPoint;
use taskyard_tests::{History, RawWorker, WorkerOptions, manual, noop};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    SOON,
    checks::{self, Fate, assert_none},
    fleet::{Fleet, TAKEOVER_MAX},
    kills::provoke,
    stream,
    traffic::{LIMITED, Plan, Traffic, TrafficOptions},
};

/// Steps towards a start.
const STARTING: [FaultPoint; 7] = [
    FaultPoint::TermTaken,
    FaultPoint::TermRead,
    FaultPoint::TermRenewed,
    FaultPoint::BeaconPublished,
    FaultPoint::StartMatched,
    FaultPoint::StartCommitted,
    FaultPoint::WorkPublished,
];
/// Its other loops.
const OTHERS: [FaultPoint; 8] = [
    FaultPoint::EventsRead,
    FaultPoint::EventsPublished,
    FaultPoint::IndexCommitted,
    FaultPoint::DueCommitted,
    FaultPoint::EraseCommitted,
    FaultPoint::RepairCommitted,
    FaultPoint::ExpiryCommitted,
    FaultPoint::DeadlineCommitted,
];
/// How many may run at once in the limited queue.
const LIMIT: u32 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_while_it_starts_tasks() -> Result<()> {
    a_leader_freezes_at_each_of(&STARTING).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_while_it_relays_and_enforces() -> Result<()> {
    a_leader_freezes_at_each_of(&OTHERS).await
}

/// Under all kinds of load, the leader freezes at one point after the other. Another takes over in time; when the old
/// one goes on it changes nothing: limits hold, every event is relayed once and in order, nothing is lost.
async fn a_leader_freezes_at_each_of(points: &[FaultPoint]) -> Result<()> {
    // One freezes, one takes over, and one may have had to go so that another leads.
    let mut fleet = Fleet::start(3).await?;
    let options = TrafficOptions {
        workers: vec![fleet.urls(); 4],
        slots: 5,
        creators: 4,
        pause: Duration::from_millis(100),
        limited_queue: true,
        ..TrafficOptions::everything(&fleet.urls())
    };
    // The first task makes the queue.
    let client = fleet.client()?;
    let first = manual();
    client.create_task(NewTask { queue: LIMITED.to_owned(), ..first.clone() }).await?;
    client.set_queue_limits(LIMITED, LIMIT).await?;
    client.complete_task(first.id, "").await?;
    let watching = CancellationToken::new();
    let watch = tokio::spawn(most_running(fleet.stack.pool.clone(), watching.clone()));
    let traffic = Traffic::start(&fleet.stack.pool, &options)?;
    for point in points {
        let begun = Instant::now();
        let name = point.name();
        traffic.goes_on(10, SOON).await.with_context(|| format!("before {name}"))?;
        fleet.order("freeze", name)?;
        let replaced = provoke(&mut fleet, &traffic, *point).await?;
        let (frozen, frozen_at) = fleet.struck(Duration::from_secs(45)).await.with_context(|| name)?;
        let term = fleet.term().await?;
        // What the old one had in mind is no longer the best that could be started.
        let successor = fleet.another(&[frozen, replaced.unwrap_or(frozen)])?;
        for _ in 0..LIMIT {
            let plan = Plan { ms: 1_500, ..Plan::default() };
            let task = NewTask { queue: LIMITED.to_owned(), priority: Some(9), ..plan.task()? };
            traffic.create(successor, task, Fate::completed(0)).await?;
        }
        let newer = fleet.newer_term(term, TAKEOVER_MAX.saturating_sub(frozen_at.elapsed()));
        let newer = newer.await.with_context(|| format!("while the leader is frozen at {name}"))?;
        if let Some(replaced) = replaced {
            fleet.is_gone(replaced).await?;
            fleet.start_pod(replaced).await?;
        }
        assert_ne!(fleet.leads(SOON).await?.1, frozen);
        traffic.goes_on(10, SOON).await.with_context(|| format!("while the leader is frozen at {name}"))?;
        fleet.pod(frozen)?.process.thaw()?;
        let over = format!("the term has ended term={term} ");
        fleet.pod(frozen)?.process.wait_for_output(&over, SOON).await?;
        assert_eq!(fleet.term().await?, newer, "the old leader wakes and takes nothing");
        traffic.goes_on(10, SOON).await.with_context(|| format!("after {name}"))?;
        println!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
    }
    let fates = traffic.settle(Duration::from_secs(60)).await?;
    watching.cancel();
    assert_eq!(watch.await??, i64::from(LIMIT), "the limit was used and held");
    let history = History::read(&fleet.stack.pool).await?;
    println!("{:?}", history.reasons());
    assert_eq!(history.most_running(LIMITED), LIMIT as usize, "the limit was held, by the events no less");
    assert_none(checks::faults(&history, &fates));
    assert_none(stream::faults(&fleet.stack, SOON).await?);
    fleet.close().await
}

/// The most runs of the limited queue that were seen at once.
async fn most_running(pool: PgPool, stop: CancellationToken) -> Result<i64> {
    let mut most = 0;
    while !stop.is_cancelled() {
        let sql = "select count(*) from tasks.active where queue = $1 and state = 4";
        let running: i64 = sqlx::query_scalar(sql).bind(LIMITED).fetch_one(&pool).await?;
        most = most.max(running);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(most)
}

/// The first pod leads; a worker with one slot is at the second one.
async fn leader_and_worker() -> Result<(Fleet, RawWorker)> {
    // Long enough that nobody is missed while the test looks elsewhere.
    let fleet = Fleet::start_with("60", 2).await?;
    let worker = RawWorker::open(&fleet.url(1), WorkerOptions { slots: 1, ..WorkerOptions::default() }).await?;
    Ok((fleet, worker))
}

async fn create(fleet: &mut Fleet, task: NewTask) -> Result<Uuid> {
    let id = Uuid::try_parse(&task.id)?;
    fleet.pod(1)?.tasks().await?.create_task(CreateTaskRequest { task: Some(task) }).await?;
    Ok(id)
}

#[tokio::test]
async fn a_thawed_leader_starts_nothing() -> Result<()> {
    let (mut fleet, mut worker) = leader_and_worker().await?;
    fleet.order("freeze", FaultPoint::StartMatched.name())?;
    let matched = create(&mut fleet, noop()).await?;
    let (frozen, _) = fleet.struck(SOON).await?;
    assert_eq!(frozen, 0);
    // Its successor has something better for the one slot: what was matched stays as it is.
    let better = create(&mut fleet, NewTask { priority: Some(9), ..noop() }).await?;
    let run = worker.next_run(SOON).await?.context("a run of the new leader")?;
    assert_eq!(run.task_id, better.to_string());
    fleet.pod(0)?.process.thaw()?;
    fleet.pod(0)?.process.wait_for_output("the term has ended term=1 end=Fenced", SOON).await?;
    worker.listen(Duration::from_secs(1)).await?;
    assert_eq!(worker.waiting(), 0, "there is one slot");
    let history = History::read(&fleet.stack.pool).await?;
    assert_eq!(history.of(matched).len(), 1, "nothing but its create: {:?}", history.of(matched));
    worker.complete(&run).await?;
    let run = worker.next_run(SOON).await?.context("what was matched, now")?;
    assert_eq!((run.task_id.as_str(), run.run), (matched.to_string().as_str(), 1));
    worker.complete(&run).await?;
    assert_eq!(worker.verdict(&run, SOON).await?, Verdict::Recorded);
    fleet.close().await
}

/// A start that is committed and not published is no start for a worker: its slot goes to another run, and what the old
/// leader publishes when it wakes must not come on top.
#[tokio::test]
async fn a_thawed_leader_brings_no_worker_a_run_without_a_slot() -> Result<()> {
    let (mut fleet, mut worker) = leader_and_worker().await?;
    fleet.order("freeze", FaultPoint::StartCommitted.name())?;
    let started = create(&mut fleet, noop()).await?;
    let (frozen, _) = fleet.struck(SOON).await?;
    assert_eq!(frozen, 0);
    let other = create(&mut fleet, noop()).await?;
    let run = worker.next_run(SOON).await?.context("a run of the new leader")?;
    assert_eq!(run.task_id, other.to_string(), "the new leader sees a free slot");
    fleet.pod(0)?.process.thaw()?;
    worker.listen(Duration::from_secs(2)).await?;
    assert_eq!(worker.waiting(), 0, "there is one slot, and it is taken");
    worker.complete(&run).await?;
    // What was started goes back within two comparisons, and comes again.
    let run = worker.next_run(SOON).await?.context("what was started, again")?;
    assert_eq!((run.task_id.as_str(), run.run, run.attempt), (started.to_string().as_str(), 2, 0));
    worker.complete(&run).await?;
    assert_eq!(worker.verdict(&run, SOON).await?, Verdict::Recorded);
    let history = History::read(&fleet.stack.pool).await?;
    assert_eq!(history.of(started).last().and_then(|event| event.to_state), Some(TaskState::Completed as i16));
    assert_none(history.faults());
    fleet.close().await
}
