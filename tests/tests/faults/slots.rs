//! No run without a slot, however late, often and out of order the pods' reports of free slots reach the leader.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use futures::StreamExt;
use rand::Rng;
use taskyard_bus::Names;
use taskyard_proto::v1::{CreateTasksRequest, Verdict};
use taskyard_testkit::{Proxy, connect_nats, eventually};
use taskyard_tests::{History, RawWorker, Stack, WorkerOptions, noop};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{SOON, checks::assert_none};

const SLOTS: u32 = 3;
const WORKERS: usize = 4;
/// Enough that no worker is ever idle.
const TASKS: usize = 4_000;
const FOR: Duration = Duration::from_secs(12);
/// On a machine that is too slow to do enough in that time.
const FOR_MAX: Duration = Duration::from_secs(60);
/// How late a message to or from a pod comes at most. With work on its way so long, few runs are done.
const LATE_MS_MAX: u64 = 150;
/// What must be done all the same, so that the test is not empty.
const DONE_MIN: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_doubled_and_reordered_reports_give_no_run_without_a_slot() -> Result<()> {
    let stack = Stack::shared().await?;
    let nats = stack.sandbox.nats_url().to_owned();
    let proxies = [Proxy::to_url(&nats).await?, Proxy::to_url(&nats).await?];
    let urls = [proxies[0].url_through(&nats)?, proxies[1].url_through(&nats)?];
    let pods = [stack.pod_with(&[("--nats-url", &urls[0])]).await?, stack.pod_with(&[("--nats-url", &urls[1])]).await?];
    let mut client = pods[0].tasks().await?;
    for _ in 0..TASKS / 1_000 {
        client.create_tasks(CreateTasksRequest { tasks: (0..1_000).map(|_| noop()).collect() }).await?;
    }
    let done = Arc::new(AtomicU64::new(0));
    let stop = CancellationToken::new();
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        let options = WorkerOptions { session: Uuid::new_v4(), slots: SLOTS, ..WorkerOptions::default() };
        let worker = RawWorker::open(&pods[number % 2].url(), options).await?;
        workers.spawn(work(worker, done.clone(), stop.clone()));
    }
    let repeater = tokio::spawn(repeat(nats.clone(), stack.sandbox.prefix().to_owned(), stop.clone()));
    let begun = tokio::time::Instant::now();
    let term = stack.number("select term from tasks.leader").await?;
    let mut most = 0;
    for round in 0.. {
        let is_enough = begun.elapsed() >= FOR && done.load(Ordering::Relaxed) >= DONE_MIN;
        if is_enough || begun.elapsed() >= FOR_MAX {
            break;
        }
        for proxy in &proxies {
            proxy.delay(Duration::from_millis(rand::rng().random_range(0..LATE_MS_MAX)));
        }
        match round {
            // The leader's own connection dies: the next term begins with reports of the one before still on their way.
            20 | 60 => {
                sqlx::query(KILL).execute(&stack.pool).await?;
            }
            // All messages of a pod come late, and then at once.
            40 | 80 => {
                let proxy = &proxies[round / 40 % 2];
                proxy.cut();
                tokio::time::sleep(Duration::from_millis(600)).await;
                proxy.heal();
            }
            _ => {}
        }
        let sql = "select coalesce(max(runs), 0) from
            (select count(*) as runs from tasks.active where state = 4 group by session) busy";
        most = most.max(stack.number(sql).await?);
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(20..100))).await;
        ensure!(workers.try_join_next().is_none(), "a worker has ended");
    }
    let all = done.load(Ordering::Relaxed);
    println!("{all} runs were done, at most {most} at once in a session");
    assert_eq!(most, i64::from(SLOTS), "the slots were used, and no more than those");
    assert!(all >= DONE_MIN, "only {all} runs were done");
    assert!(stack.number("select term from tasks.leader").await? > term, "one term only");
    for proxy in &proxies {
        proxy.delay(Duration::ZERO);
    }
    // Nothing is stuck: the slots that were counted twice for a while are free again.
    eventually(SOON, "work goes on", async || (done.load(Ordering::Relaxed) > all + 50).then_some(())).await?;
    stop.cancel();
    while let Some(worked) = workers.join_next().await {
        worked??;
    }
    let repeated = repeater.await??;
    assert!(repeated > 100, "only {repeated} reports were repeated");
    let history = History::read(&stack.pool).await?;
    assert_none(history.faults());
    println!("{:?}, {repeated} reports repeated", history.reasons());
    for pod in pods {
        pod.stop().await?;
    }
    stack.close().await
}

/// The connection on which the leader starts tasks.
const KILL: &str = "select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and position('paired as materialized' in query) > 0
        and pid <> pg_backend_pid()";

/// Does runs, each for a few milliseconds, and fails as soon as it holds more than it has slots.
async fn work(mut worker: RawWorker, done: Arc<AtomicU64>, stop: CancellationToken) -> Result<()> {
    let mut held: HashMap<(String, u32), bool> = HashMap::new();
    let mut due = VecDeque::new();
    while !stop.is_cancelled() {
        let next = worker.next_run(Duration::from_millis(5)).await?;
        for (id, run, verdict) in std::mem::take(&mut worker.acks) {
            ensure!(verdict == Verdict::Recorded || verdict == Verdict::Refused, "{verdict:?}");
            held.remove(&(id, run));
            done.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(run) = next {
            let name = (run.task_id.clone(), run.run);
            ensure!(held.insert(name, true).is_none(), "run {} of {} came twice", run.run, run.task_id);
            ensure!(held.len() <= SLOTS as usize, "{} runs and {SLOTS} slots: {held:?}", held.len());
            let takes = Duration::from_millis(rand::rng().random_range(1..30));
            due.push_back((tokio::time::Instant::now() + takes, run));
        }
        for stop in std::mem::take(&mut worker.stops) {
            // Told while its result is on its way; the answer to that comes, too.
            ensure!(held.contains_key(&(stop.task_id.clone(), stop.run)), "a stop of what is not held");
        }
        while due.front().is_some_and(|(at, _)| *at <= tokio::time::Instant::now()) {
            let Some((_, run)) = due.pop_front() else { break };
            worker.complete(&run).await?;
        }
    }
    Ok(())
}

/// Says again what pods have reported, some of it several times, later and in any order. Returns how often.
async fn repeat(nats: String, prefix: String, stop: CancellationToken) -> Result<u64> {
    let client = connect_nats(&nats).await?;
    let subject = Names::new(prefix).demand();
    let mut reports = client.subscribe(subject.clone()).await?;
    let mut heard: VecDeque<_> = VecDeque::new();
    let mut repeated = 0;
    loop {
        tokio::select! {
            report = reports.next() => {
                let Some(report) = report else { return Ok(repeated) };
                if heard.len() == 200 {
                    heard.pop_front();
                }
                heard.push_back(report.payload);
            }
            () = tokio::time::sleep(Duration::from_millis(10)) => {
                for _ in 0..3 {
                    if !heard.is_empty() {
                        let place = rand::rng().random_range(0..heard.len());
                        client.publish(subject.clone(), heard[place].clone()).await?;
                        repeated += 1;
                    }
                }
            }
            () = stop.cancelled() => return Ok(repeated),
        }
    }
}
