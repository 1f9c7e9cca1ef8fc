//! NATS is cut off for 20 s, in each direction alone and in both: from pods, and from the leader.
//!
//! 20 s are longer than everything that depends on NATS waits: free slots are void after 11 s, and a leader lets go
//! after 15 s without an answered publish.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, future::try_join_all};
use taskyard_client::{Client, Pods, Token};
use taskyard_proto::v1::{
    CancelTaskRequest, CreateTaskRequest, CreateTasksRequest, NewTask, SetQueueLimitsRequest, StopReason, TaskState,
    Verdict,
};
use taskyard_testkit::{Proxy, eventually};
use taskyard_tests::{Load, LoadOptions, Pod, RawWorker, Stack, WorkerOptions, new_task};
use tokio::time::Instant;

use super::{ALLOWANCE, SETTLED, leader, none};

const CUT: Duration = Duration::from_secs(20);
/// A queue that may run so many at once.
const NARROW: &str = "narrow";
const NARROW_LIMIT: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    ToNats,
    FromNats,
    Both,
}

impl Direction {
    const ALL: [Self; 3] = [Self::ToNats, Self::FromNats, Self::Both];

    fn cut(self, proxy: &Proxy) {
        match self {
            Self::ToNats => proxy.cut_up(),
            Self::FromNats => proxy.cut_down(),
            Self::Both => proxy.cut(),
        }
    }
}

/// A pod whose way to NATS can be cut.
struct CutOff {
    direction: Direction,
    proxy: Proxy,
    pod: Pod,
}

impl CutOff {
    async fn start(stack: &Stack, direction: Direction) -> Result<Self> {
        let proxy = Proxy::to_url(stack.sandbox.nats_url()).await?;
        let url = proxy.url_through(stack.sandbox.nats_url())?;
        let pod = stack.pod_with(&[("--nats-url", &url)]).await?;
        Ok(Self { direction, proxy, pod })
    }
}

async fn limit(pod: &Pod, queue: &str) -> Result<()> {
    // A queue is there as soon as a task names it.
    let mut task = new_task("manual");
    queue.clone_into(&mut task.queue);
    pod.tasks().await?.create_task(CreateTaskRequest { task: Some(task) }).await?;
    let request = SetQueueLimitsRequest { name: queue.to_owned(), concurrency_max: NARROW_LIMIT };
    pod.queues().await?.set_queue_limits(request).await?;
    Ok(())
}

/// All slots and the limited queue are used to the full again, and nothing was spent or lost.
async fn all_is_well(stack: &Stack, mut load: Load) -> Result<()> {
    load.settle(SETTLED).await?;
    load.fill_slots("default", SETTLED).await?;
    load.fill_queue(NARROW, NARROW_LIMIT, SETTLED).await?;
    assert_eq!(stack.number("select count(*) from tasks.sessions where not is_open").await?, 0, "sessions expired");
    let told = load.tell().await?;
    none("after the load", told.faults())?;
    let reasons = told.history.reasons();
    println!("{} tasks, {} events, returns: {reasons:?}", told.accepted.len(), told.history.events.len());
    // A worker hands back what it has no slot for.
    for unwanted in ["expired", "timeout", "repaired", "handed_back"] {
        assert!(!reasons.contains_key(unwanted), "{reasons:?}");
    }
    assert!(told.history.most_running(NARROW) <= NARROW_LIMIT as usize, "the limit was broken");
    Ok(())
}

/// A worker of one run that is canceled while its pod cannot hear of it.
struct Canceled {
    worker: RawWorker,
    kind: String,
}

impl Canceled {
    async fn start(place: usize, pod: &Pod) -> Result<(Self, taskyard_proto::v1::Assignment)> {
        let kind = format!("long-{place}");
        let options = WorkerOptions { kinds: vec![kind.clone()], slots: 1, ..WorkerOptions::default() };
        let mut worker = RawWorker::open(&pod.url(), options).await?;
        let task = Some(new_task(&kind));
        pod.tasks().await?.create_task(CreateTaskRequest { task }).await?;
        let run = worker.next_run(ALLOWANCE).await?.context("no run came")?;
        Ok((Self { worker, kind }, run))
    }

    /// The comparison looks every 10 s, whatever NATS does.
    async fn is_stopped(&mut self, run: &taskyard_proto::v1::Assignment) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10) + ALLOWANCE;
        while self.worker.stops.is_empty() {
            let stepped = tokio::time::timeout_at(deadline, self.worker.step()).await;
            ensure!(stepped.context("it was not stopped")??, "the stream ended");
        }
        let stop = self.worker.stops.remove(0);
        ensure!(stop.task_id == run.task_id && stop.run == run.run, "{stop:?}");
        ensure!(matches!(stop.reason(), StopReason::NotYours | StopReason::Canceled), "{stop:?}");
        self.worker.stopped(run).await?;
        ensure!(self.worker.verdict(run, ALLOWANCE).await? == Verdict::Refused);
        Ok(())
    }

    /// The slot of the canceled run was not lost.
    async fn works_again(mut self) -> Result<()> {
        let run = self.worker.next_run(CUT + SETTLED).await?.context("the slot was lost")?;
        self.worker.complete(&run).await?;
        self.worker.goodbye().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_cut_off_from_nats() -> Result<()> {
    let stack = Stack::shared().await?;
    let leads = stack.pod().await?;
    leader(std::slice::from_ref(&leads), ALLOWANCE).await?;
    let cut_off = try_join_all(Direction::ALL.map(|direction| CutOff::start(&stack, direction))).await?;
    limit(&leads, NARROW).await?;

    let all: Vec<String> = std::iter::once(&leads).chain(cut_off.iter().map(|one| &one.pod)).map(Pod::url).collect();
    let options = LoadOptions { queues: vec!["default".into(), NARROW.into()], ..LoadOptions::new(&all) };
    let load = Load::start(&stack.pool, options)?;
    load.goes_on(100, ALLOWANCE).await?;
    let starting = cut_off.iter().enumerate().map(|(place, one)| Canceled::start(place, &one.pod));
    let mut canceled = try_join_all(starting).await?;

    for one in &cut_off {
        one.direction.cut(&one.proxy);
    }
    let began = Instant::now();
    let moment = Duration::from_secs(3);
    try_join_all(canceled.iter_mut().map(|(canceled, _)| canceled.worker.listen(moment))).await?;
    let mut client = leads.tasks().await?;
    for (_, run) in &canceled {
        client.cancel_task(CancelTaskRequest { id: run.task_id.clone(), reason: String::new() }).await?;
    }
    try_join_all(canceled.iter_mut().map(|(canceled, run)| canceled.is_stopped(run))).await?;
    // Their next runs, which come when all is well again.
    let kinds: Vec<String> = canceled.iter().map(|(canceled, _)| canceled.kind.clone()).collect();
    let next: Vec<_> = canceled.into_iter().map(|(canceled, _)| tokio::spawn(canceled.works_again())).collect();
    // Work goes on at the others.
    load.goes_on(50, ALLOWANCE).await?;
    tokio::time::sleep_until(began + CUT).await;
    assert!(leads.leads(), "whoever leads has its way to NATS");
    for one in &cut_off {
        one.proxy.heal();
    }

    for kind in &kinds {
        client.create_task(CreateTaskRequest { task: Some(new_task(kind)) }).await?;
    }
    for worker in next {
        worker.await??;
    }
    sqlx::query("delete from tasks.sessions where not is_open").execute(&stack.pool).await?;
    all_is_well(&stack, load).await?;
    stack.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_at_work_is_cut_off_from_nats() -> Result<()> {
    try_join_all(
        Direction::ALL
            .map(|direction| async move { leader_at_work(direction).await.with_context(|| format!("{direction:?}")) }),
    )
    .await?;
    Ok(())
}

async fn leader_at_work(direction: Direction) -> Result<()> {
    let stack = Stack::shared().await?;
    let led = CutOff::start(&stack, direction).await?;
    leader(std::slice::from_ref(&led.pod), ALLOWANCE).await?;
    let other = stack.pod().await?;
    limit(&other, NARROW).await?;
    let both = [led.pod.url(), other.url()];
    let options = LoadOptions {
        urls: vec![other.url()],
        queues: vec!["default".into(), NARROW.into()],
        ..LoadOptions::new(&both)
    };
    let load = Load::start(&stack.pool, options)?;
    load.goes_on(50, ALLOWANCE).await?;

    direction.cut(&led.proxy);
    let began = Instant::now();
    eventually(Duration::from_secs(15) + ALLOWANCE, "another leads", async || other.leads().then_some(())).await?;
    load.goes_on(50, ALLOWANCE).await?;
    tokio::time::sleep_until(began + CUT).await;
    led.proxy.heal();
    all_is_well(&stack, load).await?;
    stack.close().await
}

/// A leader that has nothing to publish notices as well.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_leader_is_cut_off_from_nats() -> Result<()> {
    try_join_all(
        Direction::ALL
            .map(|direction| async move { idle_leader(direction).await.with_context(|| format!("{direction:?}")) }),
    )
    .await?;
    Ok(())
}

async fn idle_leader(direction: Direction) -> Result<()> {
    let stack = Stack::shared().await?;
    let led = CutOff::start(&stack, direction).await?;
    leader(std::slice::from_ref(&led.pod), ALLOWANCE).await?;
    let other = stack.pod().await?;
    let mut worker = RawWorker::open(&other.url(), WorkerOptions::default()).await?;
    worker.listen(Duration::from_secs(6)).await?;

    direction.cut(&led.proxy);
    // The free slots that the leader knew of are void by then.
    worker.listen(Duration::from_secs(13)).await?;
    let mut client = other.tasks().await?;
    client.create_task(CreateTaskRequest { task: Some(taskyard_tests::noop()) }).await?;
    let run = worker.next_run(CUT + ALLOWANCE).await?.context("the task was not started")?;
    worker.complete(&run).await?;
    assert!(other.leads());
    led.proxy.heal();
    stack.wait_for(TaskState::Completed, 1, ALLOWANCE).await?;
    stack.close().await
}

/// What a pod has to tell before it has reached NATS waits until it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_told_by_a_pod_that_starts_without_nats() -> Result<()> {
    const TASKS: u32 = 2 * NARROW_LIMIT;
    let stack = Stack::shared().await?;
    let leads = stack.pod().await?;
    leader(std::slice::from_ref(&leads), ALLOWANCE).await?;
    let proxy = Proxy::to_url(stack.sandbox.nats_url()).await?;
    let url = proxy.url_through(stack.sandbox.nats_url())?;
    proxy.cut();
    // It answers calls although it is not ready.
    let mut late = stack.ready_process(&[("NATS_URL", url)]).await?;
    let client = Client::new(Pods::connect([late.url()], Token::none())?);
    client.create_task(NewTask { queue: NARROW.into(), ..new_task("manual") }).await?;
    client.set_queue_limits(NARROW, NARROW_LIMIT).await?;
    proxy.heal();
    late.process.wait_for_output("event: connected", SETTLED).await?;
    // Time for one message, and sooner than the leader reads all limits anew.
    tokio::time::sleep(Duration::from_secs(1)).await;

    let options = WorkerOptions { kinds: vec!["short".into()], slots: TASKS, ..WorkerOptions::default() };
    let mut worker = RawWorker::open(&leads.url(), options).await?;
    let tasks = (0..TASKS).map(|_| NewTask { queue: NARROW.into(), ..new_task("short") }).collect();
    leads.tasks().await?.create_tasks(CreateTasksRequest { tasks }).await?;
    worker.runs(NARROW_LIMIT as usize, ALLOWANCE).await?;
    assert!(worker.next_run(Duration::from_secs(1)).await?.is_none(), "the limit was not told");
    stack.close().await
}

/// More commands than a client of NATS keeps for a server that is away: 2,048.
#[tokio::test(flavor = "multi_thread")]
async fn cancels_are_answered_while_nats_is_away() -> Result<()> {
    const RUNS: u32 = 2_200;
    let (servers, stack) = Stack::private().await?;
    let pod = stack.pod().await?;
    let mut worker = RawWorker::open(&pod.url(), WorkerOptions { slots: RUNS, ..WorkerOptions::default() }).await?;
    let mut client = pod.tasks().await?;
    for _ in 0..RUNS / 550 {
        let tasks = (0..550).map(|_| taskyard_tests::noop()).collect();
        client.create_tasks(CreateTasksRequest { tasks }).await?;
    }
    let runs = worker.runs(RUNS as usize, SETTLED).await?;
    servers.nats()?.stop().await?;
    let cancel = async {
        let canceled = runs.iter().map(|run| {
            let mut client = client.clone();
            let request = CancelTaskRequest { id: run.task_id.clone(), reason: String::new() };
            async move { anyhow::Ok(tokio::time::timeout(ALLOWANCE, client.cancel_task(request)).await??) }
        });
        futures::stream::iter(canceled).buffer_unordered(8).try_collect::<Vec<_>>().await
    };
    let (canceled, heard) = tokio::join!(cancel, worker.listen(Duration::from_secs(15)));
    canceled.context("a cancel was not answered")?;
    heard?;
    // The comparison needs no NATS.
    let deadline = Instant::now() + ALLOWANCE;
    while worker.stops.len() < RUNS as usize {
        ensure!(Instant::now() < deadline, "only {} runs were stopped", worker.stops.len());
        worker.listen(Duration::from_millis(100)).await?;
    }
    servers.nats()?.start().await?;
    stack.close().await
}
