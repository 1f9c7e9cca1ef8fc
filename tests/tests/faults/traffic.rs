//! All that a busy installation does, at once and without pause: creates, runs, failures and retries, delays, cancels,
//! hand-backs, goodbyes, timeouts, silent workers, and what people do by hand. What is accepted is remembered with the
//! fate that it must have.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use chrono::{TimeDelta, Utc};
use rand::Rng;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use taskyard_client::{
    Client, ErrorCode, Pods,
    v1::{self, NewTask, RetryPolicy, TaskUpdate, UpdateTaskRequest},
    worker::{Context, Job, Outcome, Worker},
};
use taskyard_core::TaskState;
use taskyard_proto::convert::{duration_to_proto, timestamp_to_proto};
use taskyard_testkit::eventually;
use taskyard_tests::{PodProcess, RawWorker, WorkerOptions, manual, new_task};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::checks::Fate;

/// Done as its payload says.
pub const PLANNED: &str = "planned";
/// For workers that come and go, and for the others.
pub const VISIT: &str = "visit";
/// A queue to which the test has given a limit.
pub const LIMITED: &str = "limited";
/// For one worker that never reports.
const STUCK: &str = "stuck";

/// What a run shall do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    pub ms: u64,
    /// Carried along, and given back as the result.
    pub ballast: String,
    /// Fails as long as fewer attempts are spent.
    pub fails: u32,
    /// The first run is handed back.
    pub hand_back: bool,
    /// The first run fails for good.
    pub fatal_first: bool,
    /// Runs until it is stopped.
    pub forever: bool,
}

impl Plan {
    /// A task with this plan.
    pub fn task(&self) -> Result<NewTask> {
        let backoff = Some(duration_to_proto(Duration::from_millis(20)));
        let retry = RetryPolicy { attempts_max: 5, backoff, backoff_max: backoff };
        Ok(NewTask { payload: serde_json::to_vec(self)?.into(), retry: Some(retry), ..new_task(PLANNED) })
    }
}

/// How much of what.
#[derive(Clone, Debug)]
pub struct TrafficOptions {
    /// Where tasks are handed in.
    pub urls: Vec<String>,
    /// The pods of each worker; they are from the client library.
    pub workers: Vec<Vec<String>>,
    /// What each worker does at once.
    pub slots: u32,
    /// How many hand in, and how long each pauses after a task.
    pub creators: usize,
    pub pause: Duration,
    /// Bytes of every third payload and result.
    pub bytes: usize,
    /// Workers that come and go, fall silent, or never report; people's commands.
    pub with_everything: bool,
    /// Keeps some tasks waiting in the queue [`LIMITED`].
    pub limited_queue: bool,
}

impl TrafficOptions {
    /// Three workers that may go to any pod, and everything that can be done.
    pub fn everything(urls: &[String]) -> Self {
        Self {
            urls: urls.to_vec(),
            workers: vec![urls.to_vec(); 3],
            slots: 10,
            creators: 2,
            pause: Duration::from_millis(50),
            bytes: 0,
            with_everything: true,
            limited_queue: false,
        }
    }
}

/// Creators and workers.
pub struct Traffic {
    shared: Arc<Shared>,
    pool: PgPool,
    creators: JoinSet<Result<()>>,
    actors: JoinSet<Result<()>>,
    workers: JoinSet<Result<()>>,
    creating: CancellationToken,
    working: CancellationToken,
}

struct Shared {
    client: Client,
    fates: Mutex<HashMap<Uuid, Fate>>,
    done: AtomicU64,
    /// Of the limited queue.
    limited_done: AtomicU64,
    /// Workers that had more runs than slots.
    overfull: AtomicU64,
}

impl Traffic {
    pub fn start(pool: &PgPool, options: &TrafficOptions) -> Result<Self> {
        let client = Client::new(Pods::connect(&options.urls, taskyard_tests::token())?);
        let shared = Arc::new(Shared {
            client,
            fates: Mutex::default(),
            done: AtomicU64::new(0),
            limited_done: AtomicU64::new(0),
            overfull: AtomicU64::new(0),
        });
        let mut traffic = Self {
            shared: shared.clone(),
            pool: pool.clone(),
            creators: JoinSet::new(),
            actors: JoinSet::new(),
            workers: JoinSet::new(),
            creating: CancellationToken::new(),
            working: CancellationToken::new(),
        };
        for (number, urls) in options.workers.iter().enumerate() {
            let worker = Worker::builder(Pods::connect(urls, taskyard_tests::token())?)
                .name(format!("traffic-{number}"))
                .kinds([PLANNED, VISIT])
                .slots(options.slots)
                .grace_period(Duration::from_secs(5))
                .build()?;
            let (shared, stop, slots) = (shared.clone(), traffic.working.clone(), u64::from(options.slots));
            let running = Arc::new(AtomicU64::new(0));
            let handler = move |job: Job, context: Context| {
                let (shared, running) = (shared.clone(), running.clone());
                async move {
                    if running.fetch_add(1, Ordering::SeqCst) >= slots {
                        shared.overfull.fetch_add(1, Ordering::Relaxed);
                    }
                    let outcome = shared.work(&job, &context).await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    outcome
                }
            };
            traffic.workers.spawn(async move { worker.run(handler, stop).await.context("a worker gave up") });
        }
        for _ in 0..options.creators {
            traffic.creators.spawn(shared.clone().plain(options.pause, options.bytes, traffic.creating.clone()));
        }
        if options.limited_queue {
            traffic.creators.spawn(shared.clone().limited(traffic.creating.clone()));
        }
        if options.with_everything {
            traffic.creators.spawn(shared.clone().canceled(traffic.creating.clone()));
            traffic.creators.spawn(shared.clone().by_hand(traffic.creating.clone()));
            traffic.creators.spawn(shared.clone().revived(traffic.creating.clone()));
            traffic.creators.spawn(shared.clone().visits(traffic.creating.clone()));
            traffic.creators.spawn(shared.clone().scheduled(traffic.creating.clone()));
            traffic.creators.spawn(shared.clone().stuck(traffic.creating.clone()));
            traffic.actors.spawn(visitor(options.urls.clone(), traffic.creating.clone()));
            traffic.actors.spawn(silent(options.urls.clone(), traffic.creating.clone()));
            traffic.workers.spawn(stuck(options.urls.clone(), traffic.creating.clone(), traffic.working.clone()));
        }
        Ok(traffic)
    }

    /// Runs that were done so far.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Waits until so many more runs are done.
    pub async fn goes_on(&self, runs: u64, within: Duration) -> Result<()> {
        let goal = self.done() + runs;
        eventually(within, format!("{runs} more runs"), async || (self.done() >= goal).then_some(())).await
    }

    /// Hands in a task of the test's own, by way of this pod.
    pub async fn create(&self, pod: &PodProcess, task: NewTask, fate: Fate) -> Result<Uuid> {
        let id = Uuid::try_parse(&task.id)?;
        pod.tasks().await?.create_task(v1::CreateTaskRequest { task: Some(task) }).await?;
        self.shared.fates().insert(id, fate);
        Ok(id)
    }

    /// Creates no more, and waits until everything accepted has ended. Returns what must have become of each.
    pub async fn settle(mut self, within: Duration) -> Result<HashMap<Uuid, Fate>> {
        self.creating.cancel();
        for set in [&mut self.creators, &mut self.actors] {
            while let Some(ended) = set.join_next().await {
                ended??;
            }
        }
        let mut left = Vec::new();
        let settled = eventually(within, "everything accepted ends", async || {
            let sql = "select id::text || ' ' || kind || ' in state ' || state from tasks.active limit 20";
            left = sqlx::query_scalar::<_, String>(sql).fetch_all(&self.pool).await.ok()?;
            left.is_empty().then_some(())
        });
        settled.await.with_context(|| format!("left: {left:#?}"))?;
        self.working.cancel();
        while let Some(ended) = self.workers.join_next().await {
            ended??;
        }
        ensure!(self.shared.overfull.load(Ordering::Relaxed) == 0, "a worker had more runs than slots");
        let fates = std::mem::take(&mut *self.shared.fates());
        println!("{} tasks were accepted, {} runs were done", fates.len(), self.done());
        Ok(fates)
    }
}

impl Shared {
    async fn work(&self, job: &Job, context: &Context) -> Outcome {
        let plan: Plan = match job.payload_as() {
            Ok(plan) => plan,
            Err(error) => return Outcome::fatal(error.to_string()),
        };
        if plan.hand_back && job.run == 1 {
            return Outcome::Returned;
        }
        let time = if plan.forever { Duration::MAX } else { Duration::from_millis(plan.ms) };
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            _ = context.stopped() => return Outcome::Stopped,
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        if job.queue == LIMITED {
            self.limited_done.fetch_add(1, Ordering::Relaxed);
        }
        if plan.fatal_first && job.run == 1 {
            return Outcome::fatal("as planned");
        }
        if job.attempt < plan.fails { Outcome::failed("as planned") } else { Outcome::completed(&plan.ballast) }
    }

    fn fates(&self) -> MutexGuard<'_, HashMap<Uuid, Fate>> {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn create(&self, task: NewTask, fate: Fate) -> Result<Uuid> {
        let id = Uuid::try_parse(&task.id)?;
        self.client.create_task(task).await.context("a create failed")?;
        self.fates().insert(id, fate);
        Ok(id)
    }

    /// Keeps enough waiting that the queue is always at its limit.
    async fn limited(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        let mut created = 0;
        while sleep(Duration::from_millis(20), &stop).await {
            if created < self.limited_done.load(Ordering::Relaxed) + 20 {
                let plan = Plan { ms: 100 + created % 3 * 50, ..Plan::default() };
                self.create(NewTask { queue: LIMITED.to_owned(), ..plan.task()? }, Fate::completed(0)).await?;
                created += 1;
            }
        }
        Ok(())
    }

    async fn plain(self: Arc<Self>, pause: Duration, bytes: usize, stop: CancellationToken) -> Result<()> {
        // Of random letters, so that nobody makes it smaller.
        let ballast: String = rand::rng().sample_iter(rand::distr::Alphanumeric).take(bytes).map(char::from).collect();
        for number in 0u64.. {
            if !sleep(pause, &stop).await {
                break;
            }
            let ballast = if number % 3 == 0 { ballast.clone() } else { String::new() };
            let mut plan = Plan { ms: number % 5 * 10, ballast, ..Plan::default() };
            let mut fate = Fate::completed(0);
            let mut delay = None;
            match number % 10 {
                1 => (plan.fails, fate) = (1, Fate::completed(1)),
                3 => (plan.fails, fate) = (2, Fate::completed(2)),
                4 => plan.hand_back = true,
                6 => delay = Some(duration_to_proto(Duration::from_millis(300))),
                8 if number % 20 == 8 => (plan.fails, fate) = (99, Fate::dead(5)),
                // Under way when something happens.
                9 if number % 40 == 9 => plan.ms = 2_000,
                _ => {}
            }
            self.create(NewTask { delay, ..plan.task()? }, fate).await?;
        }
        Ok(())
    }

    async fn canceled(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        while sleep(Duration::from_millis(150), &stop).await {
            let id = self.create(Plan { forever: true, ..Plan::default() }.task()?, Fate::CANCELED).await?;
            // By then it mostly runs.
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.client.cancel_task(id, "not wanted").await.context("a cancel failed")?;
        }
        Ok(())
    }

    async fn by_hand(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        while sleep(Duration::from_millis(100), &stop).await {
            let id = self.create(manual(), Fate::completed(0)).await?;
            let update = UpdateTaskRequest {
                id: id.to_string(),
                task: Some(TaskUpdate { title: "changed".to_owned(), ..TaskUpdate::default() }),
                update_mask: Some(prost_types::FieldMask { paths: vec!["title".to_owned()] }),
                version: 0,
            };
            self.client.update_task(update).await.context("an update failed")?;
            self.client.complete_task(id, "1").await.context("a completion failed")?;
            let far = Some(duration_to_proto(Duration::from_secs(3_600)));
            let id = self.create(NewTask { delay: far, ..Plan::default().task()? }, Fate::DELETED).await?;
            match self.client.delete_task(id).await {
                Err(error) if error.code == ErrorCode::TaskNotFound => {} // Its first answer was lost.
                deleted => deleted.context("a delete failed")?,
            }
        }
        Ok(())
    }

    async fn revived(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        while sleep(Duration::from_millis(200), &stop).await {
            let plan = Plan { fatal_first: true, ..Plan::default() };
            // Should its first run be lost on the way, there is nothing to revive.
            let id = self.create(plan.task()?, Fate::completed_somehow()).await?;
            // Whatever happens, it ends some time; the test as a whole does not wait for ever.
            let state = loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let state = self.client.get_task(id).await.context("a read failed")?.state();
                if [v1::TaskState::Dead, v1::TaskState::Completed].contains(&state) {
                    break state;
                }
            };
            if state == v1::TaskState::Dead {
                match self.client.retry_task(id).await {
                    Err(error) if error.code == ErrorCode::WrongState => {} // Its first answer was lost, and it is done.
                    retried => drop(retried.context("a retry failed")?),
                }
                self.fates().entry(id).and_modify(|fate| fate.ended = 2);
            }
        }
        Ok(())
    }

    async fn visits(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        while sleep(Duration::from_millis(100), &stop).await {
            let retry = RetryPolicy { attempts_max: 50, ..RetryPolicy::default() };
            let plan = serde_json::to_vec(&Plan { ms: 100, ..Plan::default() })?;
            let task = NewTask { payload: plan.into(), retry: Some(retry), ..new_task(VISIT) };
            self.create(task, Fate::completed_somehow()).await?;
        }
        Ok(())
    }

    /// Schedules of one tick each, whose task is waited for and must run.
    async fn scheduled(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        for number in 0u64.. {
            if !sleep(Duration::from_millis(200), &stop).await {
                break;
            }
            let name = format!("once-{number}");
            let request = v1::CreateScheduleRequest {
                name: name.clone(),
                definition: Some(v1::ScheduleDefinition {
                    times: Some(v1::ScheduleTimes {
                        once_time: Some(timestamp_to_proto(Utc::now() + TimeDelta::milliseconds(300))),
                        ..v1::ScheduleTimes::default()
                    }),
                    task: Some(v1::TaskTemplate { kind: PLANNED.into(), payload: "{}".into(), ..Default::default() }),
                    ..v1::ScheduleDefinition::default()
                }),
                paused: false,
            };
            match self.client.create_schedule(request).await {
                // Its pod died, and by then the time had passed.
                Err(error) if error.code == ErrorCode::InvalidInput => continue,
                created => created.context("a schedule was not created")?,
            };
            let ticks = loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let schedule = self.client.get_schedule(&name).await.context("a schedule was not read")?;
                if !schedule.ticks.is_empty() {
                    break schedule.ticks;
                }
            };
            ensure!(ticks.len() == 1, "one tick, one task: {ticks:?}");
            self.fates().insert(Uuid::try_parse(&ticks[0].task_id)?, Fate::completed(0));
            match self.client.delete_schedule(&name).await {
                Err(error) if error.code == ErrorCode::ScheduleNotFound => {} // Its first answer was lost.
                deleted => deleted.context("a schedule was not deleted")?,
            }
        }
        Ok(())
    }

    async fn stuck(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        while sleep(Duration::from_secs(1), &stop).await {
            let retry = RetryPolicy { attempts_max: 1, ..RetryPolicy::default() };
            let timeout = Some(duration_to_proto(Duration::from_secs(1)));
            // Too slow, unless the test ends before.
            let fate = Fate { ends: &[TaskState::Dead, TaskState::Completed], ended: 1, attempts: None };
            self.create(NewTask { timeout, retry: Some(retry), ..new_task(STUCK) }, fate).await?;
        }
        Ok(())
    }
}

/// Comes, takes up to three runs, finishes one, says goodbye with the rest, and comes again. If its pod dies, it is
/// never seen again, and another comes.
async fn visitor(urls: Vec<String>, stop: CancellationToken) -> Result<()> {
    for url in urls.iter().cycle() {
        if !sleep(Duration::from_millis(50), &stop).await {
            break;
        }
        let visit = async {
            let options = WorkerOptions { kinds: vec![VISIT.to_owned()], slots: 3, ..WorkerOptions::default() };
            let mut worker = RawWorker::open(url, options).await?;
            worker.listen(Duration::from_millis(300)).await?;
            while worker.waiting() > 1 {
                let Some(run) = worker.next_run(Duration::ZERO).await? else { break };
                worker.complete(&run).await?;
            }
            worker.goodbye().await
        };
        // What it could not say is repaired by its expiry.
        let _ = tokio::time::timeout(Duration::from_secs(5), visit).await;
    }
    Ok(())
}

/// Takes runs and then gives no sign of life, until its pod has had enough; then another comes.
async fn silent(urls: Vec<String>, stop: CancellationToken) -> Result<()> {
    for url in urls.iter().cycle() {
        if !sleep(Duration::from_millis(200), &stop).await {
            break;
        }
        let wait = async {
            let options = WorkerOptions { kinds: vec![VISIT.to_owned()], slots: 2, ..WorkerOptions::default() };
            let mut worker = RawWorker::open(url, options).await?;
            worker.fall_silent();
            worker.listen(Duration::from_secs(20)).await
        };
        tokio::select! {
            // Its pod may be dead.
            _ = wait => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}

/// Holds whatever it gets and never reports, over any number of lost pods; once nothing more is handed in, it reports
/// at last, and goes on with what comes back, until the other workers end.
async fn stuck(urls: Vec<String>, relent: CancellationToken, stop: CancellationToken) -> Result<()> {
    let session = Uuid::new_v4();
    let mut held: Vec<(String, u32)> = Vec::new();
    for url in urls.iter().cycle() {
        let serve = async {
            let kinds = vec![STUCK.to_owned()];
            let options =
                WorkerOptions { session, kinds, slots: 1_000, held: held.clone(), ..WorkerOptions::default() };
            let mut worker = RawWorker::open(url, options).await?;
            loop {
                while let Some(run) = worker.next_run(Duration::from_millis(50)).await? {
                    held.push((run.task_id, run.run));
                }
                for stop in std::mem::take(&mut worker.stops) {
                    worker
                        .report_all(vec![result(&stop.task_id, stop.run, v1::result::Outcome::Stopped(v1::Stopped {}))])
                        .await?;
                    held.retain(|(id, run)| (id, *run) != (&stop.task_id, stop.run));
                }
                ensure!(!worker.drained, "to another pod");
                if stop.is_cancelled() {
                    return worker.goodbye().await;
                }
                if relent.is_cancelled() && !held.is_empty() {
                    let done = v1::result::Outcome::Completed(v1::Completed::default());
                    let results = held.iter().map(|(id, run)| result(id, *run, done.clone())).collect();
                    worker.report_all(results).await?;
                    worker.acks.clear();
                    worker.listen(Duration::from_millis(500)).await?;
                    for (id, run, _) in &worker.acks {
                        held.retain(|(known, number)| (known, number) != (id, run));
                    }
                }
            }
        };
        match serve.await {
            Ok(()) => break,
            Err(_) if stop.is_cancelled() => break,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    Ok(())
}

fn result(id: &str, run: u32, outcome: v1::result::Outcome) -> v1::Result {
    v1::Result { task_id: id.to_owned(), run, outcome: Some(outcome) }
}

/// False: it is time to stop.
async fn sleep(time: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        () = stop.cancelled() => false,
    }
}
