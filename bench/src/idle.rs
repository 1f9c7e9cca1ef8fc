//! What `taskyard up` costs while nothing happens.

use std::{fs::File, process::Stdio, time::Duration};

use anyhow::{Context, Result};
use sqlx::PgPool;
use taskyard_client::{Client, Pods, Token};
use taskyard_proto::v1::GetRevisionRequest;
use tokio::process::Command;

use crate::{
    cost,
    fleet::{Servers, free_address},
};

/// Starts `taskyard up` on servers whose transactions can be counted, lets it settle, and measures.
pub async fn run(time: Duration) -> Result<String> {
    let servers = Servers::start(Vec::new()).await?;
    let dir = std::env::temp_dir().join(format!("taskyard-idle-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let gateway = free_address()?;
    let log = File::create(dir.join("up.log"))?;
    let mut up = Command::new(std::env::current_exe()?)
        .args(["up", "--dir"])
        .arg(&dir)
        .args(["--listen", &gateway.to_string()])
        .args(["--tasks-listen", &free_address()?.to_string()])
        .args(["--ops-listen", &free_address()?.to_string()])
        .envs(servers.environment())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()?;
    let pid = up.id().context("`taskyard up` has ended")?;
    let client = Client::new(Pods::connect([format!("http://{gateway}").as_str()], Token::none())?);
    for _ in 0..100 {
        // What everybody may ask.
        let asked = client.call(async |pod| pod.users().get_revision(GetRevisionRequest {}).await);
        if asked.await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (before, cpu_before) = (transactions(&servers.pool).await?, cost::cpu_of(pid));
    let ((postgres_before, nats_before), begun) = (servers.cpu(), std::time::Instant::now());
    tokio::time::sleep(time).await;
    let (after, cpu_after) = (transactions(&servers.pool).await?, cost::cpu_of(pid));
    let (postgres_after, nats_after) = servers.cpu();
    let seconds = begun.elapsed().as_secs_f64();
    let share = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() / seconds * 100.0;
    let line = format!(
        "`taskyard up`: {:.1} transactions/s in Postgres, {:.2}% of a core (Postgres {:.2}%, NATS {:.2}%), {:.0} MB resident",
        (after - before - 1) as f64 / seconds,
        share(cpu_before, cpu_after),
        share(postgres_before, postgres_after),
        share(nats_before, nats_after),
        cost::resident_bytes(pid) as f64 / 1e6
    );
    Command::new("kill").arg(pid.to_string()).status().await?;
    up.wait().await?;
    servers.stop().await?;
    // What is left of it is in the system's temporary folder.
    let _ = std::fs::remove_dir_all(&dir);
    Ok(line)
}

async fn transactions(pool: &PgPool) -> Result<i64> {
    sqlx::query("select pg_stat_clear_snapshot()").execute(pool).await?;
    Ok(sqlx::query_scalar(
        "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()",
    )
    .fetch_one(pool)
    .await?)
}
