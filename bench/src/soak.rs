//! A long time at full rate, with and without a reader that holds an old snapshot: does dispatch stay as fast?

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use sqlx::Executor;
use taskyard_proto::v1::CreateTaskRequest;
use tokio::task::JoinSet;

use crate::{
    calls,
    fleet::{Fleet, Servers},
    latency::{Clock, Latency, workers},
    load,
};

/// Callers that create at full rate; few enough that dispatch is what they wait for.
const CALLERS: usize = 64;

/// How it went.
#[derive(Debug)]
pub struct Soak {
    pub created: usize,
    rate: f64,
    first: Latency,
    last: Latency,
}

impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} tasks/s; create to start, first tenth: {}; last tenth: {} ({:.2} of the first, median)",
            self.rate,
            self.first,
            self.last,
            self.last.p50_ms / self.first.p50_ms
        )
    }
}

/// Runs at full rate.
pub async fn run(servers: &Servers, fleet: &Fleet, time: Duration, held: bool) -> Result<Soak> {
    let mut holder = servers.pool.acquire().await?;
    if held {
        holder.execute("begin isolation level repeatable read").await?;
        holder.execute("select count(*) from tasks.leader").await?;
    }
    let clock = Arc::new(Clock::default());
    let workers = workers(fleet, 2, &clock)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let created = Arc::new(AtomicU64::new(0));
    let mut callers: JoinSet<Result<()>> = JoinSet::new();
    let urls: Vec<String> = fleet.urls().map(str::to_owned).collect();
    for caller in 0..CALLERS {
        let mut client = calls::tasks(calls::connect(&urls[caller % urls.len()]).await?, fleet.key())?;
        let (clock, stop, created) = (clock.clone(), stop.clone(), created.clone());
        callers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let task = load::noop();
                clock.created(&task.id);
                client.create_task(CreateTaskRequest { task: Some(task) }).await?;
                created.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    let begun = Instant::now();
    let part = time / 10;
    let mut parts = Vec::new();
    for _ in 0..10 {
        tokio::time::sleep(part).await;
        parts.push(clock.take());
    }
    let created = usize::try_from(created.load(Ordering::Relaxed))?;
    let rate = created as f64 / begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    if held {
        holder.execute("rollback").await?;
    }
    workers.stop().await?;
    Ok(Soak { created, rate, first: parts[0], last: parts[9] })
}
