//! The database's clock jumps an hour ahead.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use taskyard_proto::v1::{Assignment, CreateTaskRequest, NewTask, Verdict};
use taskyard_tests::{Clock, Load, LoadOptions, Pod, RawWorker, Stack, WorkerOptions, new_task, retry_policy, seconds};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{ALLOWANCE, SETTLED, none, pods, urls};

const HOUR_S: i64 = 3_600;
/// The default.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// A worker with one run of a kind of its own.
struct Runner {
    worker: RawWorker,
    run: Assignment,
}

impl Runner {
    async fn start(pod: &Pod, kind: &str, timeout_s: i64) -> Result<Self> {
        let options = WorkerOptions { kinds: vec![kind.into()], slots: 1, ..WorkerOptions::default() };
        let mut worker = RawWorker::open(&pod.url(), options).await?;
        let task = NewTask { timeout: seconds(timeout_s), retry: retry_policy(3), ..new_task(kind) };
        pod.tasks().await?.create_task(CreateTaskRequest { task: Some(task) }).await?;
        let run = worker.next_run(ALLOWANCE).await?.context("no run came")?;
        Ok(Self { worker, run })
    }

    /// Gives signs of life, and completes its run in the end.
    fn run_until(mut self, end: CancellationToken) -> JoinHandle<Result<Verdict>> {
        tokio::spawn(async move {
            while !end.is_cancelled() {
                self.worker.listen(Duration::from_millis(100)).await?;
            }
            ensure!(self.worker.stops.is_empty(), "it was told to stop: {:?}", self.worker.stops);
            self.worker.complete(&self.run).await?;
            let verdict = self.worker.verdict(&self.run, ALLOWANCE).await?;
            self.worker.goodbye().await?;
            Ok(verdict)
        })
    }
}

async fn ahead_s(stack: &Stack) -> Result<i64> {
    let there: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("select clock_timestamp()").fetch_one(&stack.pool).await?;
    Ok((there - chrono::Utc::now()).num_seconds())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_databases_clock_jumps_an_hour_ahead() -> Result<()> {
    let Some((clock, _servers, stack)) = Clock::private().await? else {
        eprintln!("NOT TESTED HERE: a server's clock can be turned on Linux only");
        return Ok(());
    };
    let pods = pods(&stack, 2).await?;
    let mut load = Load::start(&stack.pool, LoadOptions::new(&urls(&pods)))?;
    load.goes_on(20, ALLOWANCE).await?;
    // By the database's clock their deadlines will have passed, and by no other.
    let end = CancellationToken::new();
    let half_an_hour = Runner::start(&pods[0], "half-an-hour", HOUR_S / 2).await?.run_until(end.clone());
    let an_hour = Runner::start(&pods[1], "an-hour", HOUR_S).await?.run_until(end.clone());
    // From here on the leader enforces.
    tokio::time::sleep(SESSION_TIMEOUT + Duration::from_secs(2)).await;
    ensure!(ahead_s(&stack).await?.abs() <= 1);

    clock.turn(HOUR_S)?;
    let jumped = Instant::now();
    ensure!((ahead_s(&stack).await? - HOUR_S).abs() <= 1, "PostgreSQL does not go by the clock that was turned");
    load.goes_on(50, ALLOWANCE).await?;
    // What is enforced for a reason goes on being enforced.
    let slow = Runner::start(&pods[0], "slow", 2).await?;
    let silent = Runner::start(&pods[1], "silent", HOUR_S).await?;
    let kept_up = async {
        let Runner { mut worker, run } = slow;
        // Failed at its deadline and 5 s, 20 s after the start at the earliest, and run again.
        let again = worker.next_run(Duration::from_secs(20) + ALLOWANCE).await;
        ensure!(worker.stops.iter().any(|stop| stop.task_id == run.task_id && stop.run == run.run), "not told to stop");
        worker.stopped(&run).await?;
        let again = match again? {
            Some(again) => again,
            None => worker.next_run(ALLOWANCE).await?.context("the slow run was not failed")?,
        };
        ensure!((again.run, again.attempt) == (2, 1), "{again:?}");
        worker.complete(&again).await?;
        worker.goodbye().await
    };
    let left_alone = async {
        let Runner { mut worker, run } = silent;
        let options = WorkerOptions { kinds: vec!["silent".into()], slots: 1, ..WorkerOptions::default() };
        let mut next = RawWorker::open(&pods[0].url(), options).await?;
        worker.fall_silent();
        let hears = tokio::spawn(async move { worker.listen(SETTLED).await });
        let again =
            next.next_run(SESSION_TIMEOUT * 2 + ALLOWANCE).await?.context("the silent worker does not expire")?;
        ensure!((again.task_id.as_str(), again.run, again.attempt) == (run.task_id.as_str(), 2, 1), "{again:?}");
        ensure!(jumped.elapsed() >= SESSION_TIMEOUT, "somebody expired before a whole timeout was seen");
        next.complete(&again).await?;
        hears.abort();
        next.goodbye().await
    };
    tokio::try_join!(kept_up, left_alone)?;

    end.cancel();
    ensure!(half_an_hour.await?? == Verdict::Recorded, "the run of half an hour was lost");
    ensure!(an_hour.await?? == Verdict::Recorded, "the run of an hour was lost");
    load.goes_on(50, ALLOWANCE).await?;
    load.settle(SETTLED).await?;
    load.fill_slots("default", SETTLED).await?;
    let told = load.tell().await?;
    none("after the jump", told.faults())?;
    let counted: Vec<_> =
        told.history.events.iter().filter(|event| event.is_counted && event.reason.is_some()).collect();
    let reasons = told.history.reasons();
    println!("{} tasks, returns: {reasons:?}", told.accepted.len());
    ensure!(counted.len() == 2 && reasons["expired"] == 1 && reasons["timeout"] == 1, "{counted:#?}");
    stack.close().await
}
