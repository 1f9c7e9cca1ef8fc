//! Pods that stand still for a while: nobody waits for them, and nothing is lost when they go on.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use taskyard_core::{EventType, TaskState, limits};
use taskyard_proto::v1::{CreateTaskRequest, Verdict};
use taskyard_tasks::fault::FaultPoint;
use taskyard_testkit::eventually;
use taskyard_tests::{History, RawWorker, WorkerOptions, manual, noop};
use uuid::Uuid;

use crate::{
    SOON,
    checks::{self, Fate, assert_none},
    fleet::{Fleet, SESSION_TIMEOUT, TAKEOVER_MAX},
    stream,
    traffic::{Traffic, TrafficOptions},
};

/// Where a pod stands still, in the middle of work for others; none: wherever it is.
const MOMENTS: [Option<FaultPoint>; 8] = [
    Some(FaultPoint::PayloadRead),
    None,
    Some(FaultPoint::CreateCommitted),
    Some(FaultPoint::FinishCommitted),
    None,
    Some(FaultPoint::WorkTakenIn),
    Some(FaultPoint::RenewalCommitted),
    None,
];
/// Longer than a worker waits for a silent pod, shorter than a session lives.
const FROZEN_FOR: Duration = Duration::from_secs(4);
/// A payload of this many letters, and what its JSON adds, is just allowed.
const LETTERS: usize = limits::PAYLOAD_BYTES_MAX - 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_pod_blocks_nobody() -> Result<()> {
    // The first one leads, and never freezes.
    let mut fleet = Fleet::empty(&SESSION_TIMEOUT.as_secs().to_string()).await?;
    fleet.add_deaf().await?;
    fleet.leads(SOON).await?;
    let others = [fleet.add(&[]).await?, fleet.add(&[]).await?];
    let served = others.map(|number| fleet.url(number)).to_vec();
    let options = TrafficOptions {
        workers: vec![served; 4],
        slots: 4,
        creators: 6,
        pause: Duration::from_millis(400),
        bytes: LETTERS,
        with_everything: false,
        ..TrafficOptions::everything(&fleet.urls())
    };
    let traffic = Traffic::start(&fleet.stack.pool, &options)?;
    let mut victim = others[0];
    for (number, moment) in MOMENTS.into_iter().enumerate() {
        let name = moment.map_or("just so", FaultPoint::name);
        traffic.goes_on(10, SOON).await.with_context(|| format!("before {name}"))?;
        let frozen = match moment {
            Some(point) => {
                fleet.order("freeze", point.name())?;
                fleet.struck(SOON).await?.0
            }
            None => {
                fleet.pod(victim)?.process.freeze().await?;
                victim
            }
        };
        let frozen_at = Instant::now();
        // All workers go to the one that is left: it will have some to freeze with.
        victim = others[usize::from(frozen == others[0])];
        let is_last = number == MOMENTS.len() - 1;
        let term = fleet.term().await?;
        let renewed_at = fleet.stack.number(RENEWED_MS).await?;
        if is_last {
            // A new term no less: the leader dies meanwhile.
            fleet.kill(0)?;
            fleet.newer_term(term, TAKEOVER_MAX).await?;
        }
        let created = traffic.create(fleet.another(&[frozen])?, manual(), Fate::completed(0)).await?;
        let mut blocked = BTreeSet::new();
        while frozen_at.elapsed() < FROZEN_FOR {
            blocked.extend(sqlx::query_scalar::<_, String>(BLOCKED).fetch_all(&fleet.stack.pool).await?);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(blocked, BTreeSet::new(), "statements waited for the pod that is frozen at {name}");
        traffic.goes_on(10, SOON).await.with_context(|| format!("while a pod is frozen at {name}"))?;
        eventually(SOON, "events are told while a pod is frozen", async || {
            let history = History::read(&fleet.stack.pool).await.ok()?;
            let position = history.of(created).first()?.position();
            (stream::newest(&fleet.stack).await.ok()? >= position).then_some(())
        })
        .await
        .with_context(|| name)?;
        assert!(fleet.stack.number(RENEWED_MS).await? > renewed_at, "the leader renews its term");
        if !is_last {
            assert_eq!(fleet.term().await?, term, "the leader leads on");
        }
        fleet.pod(frozen)?.process.thaw()?;
        fleet.client()?.complete_task(created, "").await?;
        traffic.goes_on(10, SOON).await.with_context(|| format!("after {name}"))?;
        println!("{name}: {:.1} s", frozen_at.elapsed().as_secs_f64());
    }
    let fates = traffic.settle(Duration::from_secs(60)).await?;
    let history = History::read(&fleet.stack.pool).await?;
    println!("{:?}", history.reasons());
    assert_none(checks::faults(&history, &fates));
    assert_none(stream::faults(&fleet.stack, SOON).await?);
    fleet.close().await
}

const RENEWED_MS: &str = "select (extract(epoch from renewed_at) * 1000)::bigint from tasks.leader";
/// Statements that have waited for a lock for a second.
const BLOCKED: &str = "select query from pg_stat_activity where datname = current_database() \
    and wait_event_type = 'Lock' and query_start < clock_timestamp() - interval '1 second'";

/// The worker was not answered and said hello to another pod; what runs for it there is none of the first one's
/// business when it goes on.
#[tokio::test]
async fn a_hello_that_comes_late_takes_nothing_from_a_newer_one() -> Result<()> {
    // Long enough that nobody is missed while the test looks elsewhere.
    let mut fleet = Fleet::empty("60").await?;
    fleet.add_deaf().await?;
    fleet.leads(SOON).await?;
    let frozen = fleet.add(&[]).await?;
    let session = Uuid::new_v4();
    let options = WorkerOptions { session, ..WorkerOptions::default() };
    fleet.order("freeze", FaultPoint::HelloOpened.name())?;
    let (url, first) = (fleet.url(frozen), options.clone());
    let late = tokio::spawn(async move { RawWorker::open(&url, first).await });
    assert_eq!(fleet.struck(SOON).await?.0, frozen);

    let mut worker = RawWorker::open(&fleet.url(0), options).await?;
    assert_eq!(worker.welcome.connection, 2, "the first hello came first");
    let mut client = fleet.pod(0)?.tasks().await?;
    let task = noop();
    client.create_task(CreateTaskRequest { task: Some(task.clone()) }).await?;
    let run = worker.next_run(SOON).await?.context("a run")?;
    // By now the run is older than what a comparison lets pass.
    worker.listen(Duration::from_secs(6)).await?;
    fleet.pod(frozen)?.process.thaw()?;
    // It goes on, welcomes a worker that may still listen, and compares.
    let late = late.await?;
    assert!(late.is_ok_and(|late| late.welcome.connection == 1));
    worker.listen(Duration::from_secs(2)).await?;
    assert!(worker.stops.is_empty(), "{:?}", worker.stops);
    assert_eq!(fleet.stack.number("select count(*) from tasks.active where state = 4 and run = 1").await?, 1);
    worker.complete(&run).await?;
    assert_eq!(worker.verdict(&run, SOON).await?, Verdict::Recorded);
    // The newer stream is served on.
    let second = noop();
    client.create_task(CreateTaskRequest { task: Some(second.clone()) }).await?;
    let next = worker.next_run(SOON).await?.context("another run")?;
    assert_eq!((next.task_id, next.run), (second.id, 1));

    let history = History::read(&fleet.stack.pool).await?;
    let life = history.of(task.id.parse()?);
    let types: Vec<i16> = life.iter().map(|event| event.event_type).collect();
    let expected = [EventType::Created, EventType::Started, EventType::Completed].map(|kind| kind as i16);
    assert_eq!(types, expected, "{life:?}");
    assert_eq!(life.last().and_then(|event| event.to_state), Some(TaskState::Completed as i16));
    fleet.close().await
}
