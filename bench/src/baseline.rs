//! The baseline: a queue in Postgres as one writes it by hand. One INSERT, one `FOR UPDATE SKIP LOCKED` claim and one
//! UPDATE a task, each in a transaction of its own, over 16 connections; no gRPC, no events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::Result;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

use crate::{cost, fleet::Servers};

const CONNECTIONS: usize = 16;

/// What the baseline does.
pub struct Baseline {
    pub rate: f64,
    pub postgres_us: f64,
}

/// Runs it: half of the connections insert, half claim and finish.
pub async fn run(servers: &Servers, tasks: usize) -> Result<Baseline> {
    sqlx::raw_sql(
        "drop table if exists baseline;
         create table baseline (id bigint generated always as identity primary key, state smallint not null default 0,
            priority smallint not null default 5, payload text not null) with (fillfactor = 70);
         create index baseline_ready on baseline (priority desc, id) where state = 0",
    )
    .execute(&servers.pool)
    .await?;
    let options: Arc<PgConnectOptions> = servers.pool.connect_options();
    let to_insert = Arc::new(AtomicI64::new(tasks as i64));
    let done = Arc::new(AtomicUsize::new(0));
    let (before, _) = servers.cpu();
    let begun = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for number in 0..CONNECTIONS {
        let (options, to_insert, done) = (options.clone(), to_insert.clone(), done.clone());
        running.spawn(async move {
            let mut connection = PgConnection::connect_with(&options).await?;
            if number % 2 == 0 {
                insert(&mut connection, &to_insert).await
            } else {
                work(&mut connection, &done, tasks).await
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    let took = begun.elapsed();
    let (after, _) = servers.cpu();
    Ok(Baseline {
        rate: tasks as f64 / took.as_secs_f64(),
        postgres_us: cost::per_task(after.saturating_sub(before), tasks),
    })
}

async fn insert(connection: &mut PgConnection, left: &AtomicI64) -> Result<()> {
    while left.fetch_sub(1, Ordering::Relaxed) > 0 {
        sqlx::query("insert into baseline (payload) values ($1)").bind("{}").execute(&mut *connection).await?;
    }
    Ok(())
}

async fn work(connection: &mut PgConnection, done: &AtomicUsize, tasks: usize) -> Result<()> {
    while done.load(Ordering::Relaxed) < tasks {
        let claimed: Option<i64> = sqlx::query_scalar(
            "update baseline set state = 1 where id = (select id from baseline where state = 0 \
             order by priority desc, id limit 1 for update skip locked) returning id",
        )
        .fetch_optional(&mut *connection)
        .await?;
        match claimed {
            Some(id) => {
                sqlx::query("update baseline set state = 2 where id = $1").bind(id).execute(&mut *connection).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            None => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
        }
    }
    Ok(())
}
