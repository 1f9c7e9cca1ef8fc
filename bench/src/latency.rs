//! From the call that creates a task to its start in a worker.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use taskyard_client::worker::{Context, Handler, Job, Outcome, Worker};
use taskyard_proto::v1::CreateTaskRequest;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{calls, fleet::Fleet, load};

/// Times from create to start.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    pub count: usize,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "median {:.2} ms, p99 {:.2} ms, max {:.1} ms of {}",
            self.p50_ms, self.p99_ms, self.max_ms, self.count
        )
    }
}

/// When tasks were created, and how long their starts took.
#[derive(Debug, Default)]
pub struct Clock {
    created: Mutex<HashMap<String, Instant>>,
    took: Mutex<Vec<f64>>,
}

impl Clock {
    /// A task is about to be created.
    pub fn created(&self, id: &str) {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), Instant::now());
    }

    fn started(&self, id: &str) {
        let created = self.created.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Some(created) = created {
            let took = created.elapsed().as_secs_f64() * 1e3;
            self.took.lock().unwrap_or_else(PoisonError::into_inner).push(took);
        }
    }

    /// What was measured since the last call.
    pub fn take(&self) -> Latency {
        let mut took = std::mem::take(&mut *self.took.lock().unwrap_or_else(PoisonError::into_inner));
        took.sort_by(f64::total_cmp);
        let at = |part: f64| took.get(((took.len() as f64 * part) as usize).min(took.len().saturating_sub(1))).copied();
        Latency {
            p50_ms: at(0.5).unwrap_or(f64::NAN),
            p99_ms: at(0.99).unwrap_or(f64::NAN),
            max_ms: at(1.0).unwrap_or(f64::NAN),
            count: took.len(),
        }
    }
}

/// A worker of this process that notes the time.
#[derive(Clone)]
struct NoteTime(Arc<Clock>);

impl Handler for NoteTime {
    async fn run(&self, job: Job, _: Context) -> Outcome {
        self.0.started(&job.task_id.to_string());
        Outcome::Completed("null".into())
    }
}

/// Workers in this process.
pub struct Workers {
    running: JoinSet<std::result::Result<(), taskyard_client::Error>>,
    stop: CancellationToken,
}

impl Workers {
    /// Lets them say goodbye.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// Workers that do nothing.
pub fn noop_workers(fleet: &Fleet, count: usize) -> Result<Workers> {
    workers(fleet, count, &Arc::default())
}

/// Workers that note when tasks start.
pub fn workers(fleet: &Fleet, count: usize, clock: &Arc<Clock>) -> Result<Workers> {
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    for _ in 0..count {
        let worker = Worker::builder(fleet.pods()?).name("bench").kinds(["noop"]).slots(1_000).build()?;
        running.spawn(worker.run(NoteTime(clock.clone()), stop.clone()));
    }
    Ok(Workers { running, stop })
}

/// Creates tasks at a steady rate and measures their starts.
pub async fn run(fleet: &Fleet, rate: u32, time: Duration) -> Result<Latency> {
    let clock = Arc::new(Clock::default());
    let workers = workers(fleet, 2, &clock)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut clients = Vec::new();
    for url in fleet.urls() {
        clients.push(calls::tasks(calls::connect(url).await?, fleet.key())?);
    }
    let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    let mut number = 0;
    while begun.elapsed() < time {
        tick.tick().await;
        let task = load::noop();
        let mut client = clients[number % clients.len()].clone();
        number += 1;
        // The first second warms connections and plans.
        if number == rate as usize {
            clock.take();
        }
        let clock = clock.clone();
        calls.spawn(async move {
            clock.created(&task.id);
            client.create_task(CreateTaskRequest { task: Some(task) }).await.map(|_| ())
        });
        while let Some(ended) = calls.try_join_next() {
            ended??;
        }
    }
    while let Some(ended) = calls.join_next().await {
        ended??;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let latency = clock.take();
    workers.stop().await?;
    Ok(latency)
}
