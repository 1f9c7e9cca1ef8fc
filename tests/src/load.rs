//! Tasks that are handed in and worked off without pause, while a test does something to the servers.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use taskyard_client::{
    Client, Pods,
    v1::{NewTask, RetryPolicy},
    worker::{Context, Job, Outcome, Worker},
};
use taskyard_testkit::eventually;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{History, new_task, token};

/// Worked off as its payload says.
const PLANNED: &str = "planned";
/// Runs until all slots are taken.
const HOLD: &str = "hold";

/// What is handed in, and who works.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Where tasks are handed in.
    pub urls: Vec<String>,
    /// The pods of each worker.
    pub workers: Vec<Vec<String>>,
    pub slots: u32,
    /// One after the other; the first one more often than the rest.
    pub queues: Vec<String>,
    /// How many hand in at once, and how long each waits after a task.
    pub creators: u32,
    pub pause: Duration,
}

impl LoadOptions {
    /// Some fifty tasks a second by way of all pods, and one worker at each.
    pub fn new(urls: &[String]) -> Self {
        Self {
            urls: urls.to_vec(),
            workers: urls.iter().map(|url| vec![url.clone()]).collect(),
            slots: 5,
            queues: vec!["default".to_owned()],
            creators: 4,
            pause: Duration::from_millis(80),
        }
    }

    /// As many workers, each of which may go to any of the pods.
    pub fn roaming(urls: &[String]) -> Self {
        let workers = urls.iter().map(|_| urls.to_vec()).collect();
        Self { workers, ..Self::new(urls) }
    }
}

/// Creators and workers.
#[derive(Debug)]
pub struct Load {
    options: LoadOptions,
    client: Client,
    shared: Arc<Shared>,
    pool: PgPool,
    creators: JoinSet<Result<()>>,
    workers: JoinSet<Result<()>>,
    creating: CancellationToken,
    working: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    /// Accepted tasks and the failures that are planned for each.
    accepted: Mutex<HashMap<Uuid, u32>>,
    completed: AtomicU64,
    progress: AtomicU64,
    /// `hold` runs that each worker has now.
    holding: Vec<AtomicU32>,
    gate: watch::Sender<bool>,
}

/// What a task's run shall do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Plan {
    takes_ms: u64,
    failures: u32,
}

/// What became of it all, to be looked at by the test.
#[derive(Debug)]
pub struct Told {
    pub accepted: HashMap<Uuid, u32>,
    pub history: History,
}

impl Load {
    pub fn start(pool: &PgPool, options: LoadOptions) -> Result<Self> {
        let client = Client::new(Pods::connect(&options.urls, token())?).with_timeout(Duration::from_secs(5));
        let shared = Arc::new(Shared {
            accepted: Mutex::default(),
            completed: AtomicU64::new(0),
            progress: AtomicU64::new(0),
            holding: options.workers.iter().map(|_| AtomicU32::new(0)).collect(),
            gate: watch::Sender::new(false),
        });
        let (creating, working) = (CancellationToken::new(), CancellationToken::new());
        let mut workers = JoinSet::new();
        for (number, urls) in options.workers.iter().enumerate() {
            let worker = Worker::builder(Pods::connect(urls, token())?)
                .name(format!("load-{number}"))
                .kinds([PLANNED, HOLD])
                .slots(options.slots)
                .build()?;
            let (shared, working) = (shared.clone(), working.clone());
            let handler = move |job: Job, context: Context| {
                let shared = shared.clone();
                async move { shared.work(number, job, context).await }
            };
            workers.spawn(async move { worker.run(handler, working).await.context("a worker") });
        }
        let mut creators = JoinSet::new();
        for number in 0..options.creators {
            let (client, shared, creating, options) =
                (client.clone(), shared.clone(), creating.clone(), options.clone());
            creators.spawn(async move { shared.create(number, &client, &options, creating).await });
        }
        Ok(Self { options, client, shared, pool: pool.clone(), creators, workers, creating, working })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// From now on the history is read here: the database is behind another server.
    pub fn read_from(&mut self, pool: &PgPool) {
        self.pool = pool.clone();
    }

    /// Handlers that came to their end so far.
    pub fn completed(&self) -> u64 {
        self.shared.completed.load(Ordering::Relaxed)
    }

    pub fn accepted(&self) -> usize {
        self.shared.accepted().len()
    }

    /// Waits until so many more runs came to their end.
    pub async fn goes_on(&self, runs: u64, within: Duration) -> Result<()> {
        let goal = self.completed() + runs;
        eventually(within, format!("{runs} more runs"), async || (self.completed() >= goal).then_some(())).await
    }

    /// Creates no more, and waits until everything accepted has ended.
    pub async fn settle(&mut self, within: Duration) -> Result<()> {
        self.creating.cancel();
        while let Some(created) = self.creators.join_next().await {
            created??;
        }
        let mut left = None;
        let settled = eventually(within, "everything accepted ends", async || {
            left = Some(self.left().await.ok()?);
            (left == Some(0)).then_some(())
        });
        settled.await.with_context(|| format!("{left:?} of {} are left", self.accepted()))
    }

    /// Fills all slots of all workers at once, in a queue: each worker must have as many runs as it has slots.
    pub async fn fill_slots(&self, queue: &str, within: Duration) -> Result<()> {
        let slots = self.options.slots * u32::try_from(self.options.workers.len())?;
        self.hold(queue, slots).await?;
        let full = eventually(within, "all slots of all workers are taken", async || {
            self.shared.holding.iter().all(|runs| runs.load(Ordering::Relaxed) == self.options.slots).then_some(())
        });
        full.await.with_context(|| format!("taken: {:?}", self.shared.holding))?;
        self.let_go(within).await
    }

    /// Fills a limited queue: so many runs of it at once, and no more.
    pub async fn fill_queue(&self, queue: &str, limit: u32, within: Duration) -> Result<()> {
        self.hold(queue, limit + 2).await?;
        let held = || self.shared.holding.iter().map(|runs| runs.load(Ordering::Relaxed)).sum::<u32>();
        let full = eventually(within, "the queue runs at its limit", async || (held() == limit).then_some(()));
        full.await.with_context(|| format!("running: {}", held()))?;
        self.let_go(within).await
    }

    /// Ends the workers and reads what happened.
    pub async fn tell(mut self) -> Result<Told> {
        ensure!(self.creators.is_empty(), "settle first");
        let history = History::read(&self.pool).await?;
        self.working.cancel();
        while let Some(worked) = self.workers.join_next().await {
            worked??;
        }
        Ok(Told { accepted: std::mem::take(&mut *self.shared.accepted()), history })
    }

    async fn left(&self) -> Result<i64> {
        let ids: Vec<Uuid> = self.shared.accepted().keys().copied().collect();
        let sql = "select $2 - count(*) from tasks.finished where namespace = 1 and id = any ($1)";
        let accepted = i64::try_from(ids.len())?;
        Ok(sqlx::query_scalar(sql).bind(&ids).bind(accepted).fetch_one(&self.pool).await?)
    }

    async fn hold(&self, queue: &str, runs: u32) -> Result<()> {
        self.shared.gate.send_replace(false);
        for _ in 0..runs {
            let mut task = new_task(HOLD);
            queue.clone_into(&mut task.queue);
            self.shared.hand_in(&self.client, task, 0).await?;
        }
        Ok(())
    }

    async fn let_go(&self, within: Duration) -> Result<()> {
        self.shared.gate.send_replace(true);
        eventually(within, "what was held ends", async || (self.left().await.ok()? == 0).then_some(())).await
    }
}

impl Shared {
    async fn create(
        &self,
        creator: u32,
        client: &Client,
        options: &LoadOptions,
        stop: CancellationToken,
    ) -> Result<()> {
        for number in (creator..).step_by(options.creators as usize) {
            if stop.is_cancelled() {
                return Ok(());
            }
            // Some long enough to be under way when something happens, some that fail first, some that come later.
            let takes_ms = if number % 20 == 0 { 3_000 } else { u64::from(number % 7) * 10 };
            let failures = if number % 9 == 0 { 1 + number % 2 } else { 0 };
            let mut task = new_task(PLANNED);
            task.payload = serde_json::to_vec(&Plan { takes_ms, failures })?.into();
            task.queue.clone_from(&options.queues[(number % 5) as usize % options.queues.len()]);
            task.retry =
                Some(RetryPolicy { attempts_max: 5, backoff: Some(duration(10)), backoff_max: Some(duration(500)) });
            if number % 11 == 0 {
                task.delay = Some(duration(800));
            }
            self.hand_in(client, task, failures).await?;
            tokio::time::sleep(options.pause).await;
        }
        Ok(())
    }

    /// Sends it until it is accepted: its id makes that safe.
    async fn hand_in(&self, client: &Client, task: NewTask, failures: u32) -> Result<()> {
        let id = Uuid::try_parse(&task.id)?;
        loop {
            match client.create_task(task.clone()).await {
                Ok(_) => break,
                Err(error) if error.code.retryable() => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => return Err(error).context("a create was refused"),
            }
        }
        self.accepted().insert(id, failures);
        Ok(())
    }

    async fn work(&self, worker: usize, job: Job, context: Context) -> Outcome {
        if job.kind == HOLD {
            let _held = Holding::new(&self.holding[worker]);
            let mut gate = self.gate.subscribe();
            tokio::select! {
                _ = gate.wait_for(|is_open| *is_open) => {}
                _ = context.stopped() => return Outcome::Stopped,
            }
            return Outcome::completed("held");
        }
        let plan: Plan = match job.payload_as() {
            Ok(plan) => plan,
            Err(error) => return Outcome::fatal(error.to_string()),
        };
        context.progress(50, "half way");
        self.progress.fetch_add(1, Ordering::Relaxed);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(plan.takes_ms)) => {}
            _ = context.stopped() => return Outcome::Stopped,
        }
        if job.attempt < plan.failures {
            return Outcome::failed("as planned");
        }
        self.completed.fetch_add(1, Ordering::Relaxed);
        Outcome::completed(&job.run)
    }

    fn accepted(&self) -> MutexGuard<'_, HashMap<Uuid, u32>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Holding<'a>(&'a AtomicU32);

impl<'a> Holding<'a> {
    fn new(runs: &'a AtomicU32) -> Self {
        runs.fetch_add(1, Ordering::Relaxed);
        Self(runs)
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Told {
    /// What is wrong: tasks that were lost, ended more than once or not as planned, and attempts that nobody planned.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.history.faults();
        for (id, failures) in &self.accepted {
            let life = self.history.of(*id);
            let counted = life.iter().filter(|event| event.is_counted).count();
            let ends = life.iter().filter(|event| matches!(event.to_state, Some(5..=7))).count();
            let last = life.last().and_then(|event| event.to_state);
            if last != Some(5) || ends != 1 {
                faults.push(format!("{id}: ended {ends} times, last in state {last:?}: {life:?}"));
            }
            if counted != *failures as usize {
                faults.push(format!("{id}: {counted} attempts were spent, {failures} planned: {life:?}"));
            }
        }
        faults
    }
}

fn duration(milliseconds: u64) -> prost_types::Duration {
    taskyard_proto::convert::duration_to_proto(Duration::from_millis(milliseconds))
}
