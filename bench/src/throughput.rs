//! The whole life of no-op tasks: created, started, run, finished, all committed.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};

use crate::{
    cost::{self, Cost},
    fleet::{Fleet, Servers},
    load,
};

/// What a run did.
#[derive(Clone, Copy, Debug)]
pub struct Throughput {
    pub rate: f64,
    pub cost: Cost,
}

/// Creates so many tasks, and waits until all are finished in the database.
pub async fn run(servers: &Servers, fleet: &Fleet, tasks: usize, batch: usize) -> Result<Throughput> {
    let finished_before = finished(servers).await?;
    let ((postgres, nats), (pods, workers), driver) = (servers.cpu(), fleet.cpu(), cost::cpu_of(std::process::id()));
    let begun: DateTime<Utc> = sqlx::query_scalar("select now()").fetch_one(&servers.pool).await?;
    load::create(fleet, tasks, batch).await?;
    let driver_after = cost::cpu_of(std::process::id());
    let took = wait(servers, finished_before + tasks as i64).await? - begun;
    let ((postgres_after, nats_after), (pods_after, workers_after)) = (servers.cpu(), fleet.cpu());
    let per = |before: Duration, after: Duration| cost::per_task(after.saturating_sub(before), tasks);
    Ok(Throughput {
        rate: tasks as f64 / took.as_seconds_f64(),
        cost: Cost {
            postgres_us: per(postgres, postgres_after),
            nats_us: per(nats, nats_after),
            pods_us: per(pods, pods_after),
            workers_us: per(workers, workers_after),
            driver_us: per(driver, driver_after),
        },
    })
}

/// The same with workers that are there for this run only.
pub async fn run_with_workers(servers: &Servers, fleet: &Fleet, tasks: usize) -> Result<f64> {
    let workers = crate::latency::noop_workers(fleet, 2)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let rate = run(servers, fleet, tasks, 1).await?.rate;
    workers.stop().await?;
    Ok(rate)
}

/// Waits until there are so many finished tasks. Returns when the last one finished, by the database, so that it need
/// not be asked often: to see that nothing is left it walks over all rows that are not vacuumed yet.
async fn wait(servers: &Servers, count: i64) -> Result<DateTime<Utc>> {
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        let open: bool =
            sqlx::query_scalar("select exists (select from tasks.active)").fetch_one(&servers.pool).await?;
        if !open && finished(servers).await? >= count {
            return Ok(sqlx::query_scalar("select max(finished_at) from tasks.finished")
                .fetch_one(&servers.pool)
                .await?);
        }
        if Instant::now() > deadline {
            bail!("{} of {count} tasks are finished after 5 minutes", finished(servers).await?);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn finished(servers: &Servers) -> Result<i64> {
    Ok(sqlx::query_scalar("select count(*) from tasks.finished").fetch_one(&servers.pool).await?)
}
