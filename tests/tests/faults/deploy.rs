//! A deploy: every process is replaced, one after the other, under load.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use taskyard_client::{Client, Pods, v1::NewTask};
use taskyard_testkit::{Process, eventually};
use taskyard_tests::{History, new_task};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    SOON,
    checks::{self, Fate, assert_none},
    fleet::Fleet,
    stream,
};

/// About 200 tasks a second, if the machine allows.
const CREATORS: usize = 20;
const PAUSE: Duration = Duration::from_millis(80);
/// Every process is replaced so often.
const ROUNDS: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_spends_no_attempt_and_fails_no_call() -> Result<()> {
    let mut fleet = Fleet::start_with("10", 3).await?;
    let worker = |fleet: &Fleet| {
        // Some tasks take longer than a worker may go on.
        let environment = [("TASKYARD_GRACE_PERIOD_S", "2".to_owned()), ("TASKYARD_WORKER_SLOTS", "40".to_owned())];
        fleet.stack.worker_process(&fleet.urls(), &environment)
    };
    let mut workers: Vec<Process> = (0..3).map(|_| worker(&fleet)).collect::<Result<_>>()?;
    for worker in &mut workers {
        worker.wait_for_output("Serving", SOON).await?;
    }
    let begun = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    let fates: Arc<Mutex<HashMap<Uuid, Fate>>> = Arc::default();
    let mut creators = JoinSet::new();
    for creator in 0..CREATORS {
        let client = Client::new(Pods::connect(fleet.urls(), taskyard_tests::token())?);
        let (stop, fates) = (stop.clone(), fates.clone());
        creators.spawn(async move {
            for number in (creator..).step_by(CREATORS) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let ms = if number % 50 == 0 { 3_000 } else { number % 4 * 20 };
                let task = NewTask { payload: format!("{{\"ms\": {ms}}}").into(), ..new_task("sleep") };
                let id = Uuid::try_parse(&task.id)?;
                client.create_task(task).await.context("a create failed")?;
                fates.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Fate::completed(0));
                if number % 5 == 0 {
                    // Reads no less.
                    ensure!(client.get_task(id).await.context("a read failed")?.id == id.to_string());
                }
                tokio::time::sleep(PAUSE).await;
            }
            anyhow::Ok(())
        });
    }
    for _ in 0..ROUNDS {
        for number in 0..3 {
            fleet.terminate(number)?;
            fleet.is_gone(number).await?;
            fleet.start_pod(number).await?;
        }
        for place in &mut workers {
            place.terminate()?;
            let status = place.wait_exit(Duration::from_secs(10)).await?;
            ensure!(status.success(), "{status}: {}", place.output());
            *place = worker(&fleet)?;
            place.wait_for_output("Serving", SOON).await?;
        }
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(created) = creators.join_next().await {
        created??;
    }
    let fates = std::mem::take(&mut *fates.lock().unwrap_or_else(PoisonError::into_inner));
    let rate = fates.len() as f64 / begun.elapsed().as_secs_f64();
    println!("{} tasks in {:.1} s, {rate:.0} a second", fates.len(), begun.elapsed().as_secs_f64());
    eventually(SOON * 2, "everything ends", async || {
        let left = fleet.stack.number("select count(*) from tasks.active").await.ok()?;
        (left == 0).then_some(())
    })
    .await?;
    let history = History::read(&fleet.stack.pool).await?;
    println!("{:?}", history.reasons());
    assert_none(checks::faults(&history, &fates));
    assert_none(stream::faults(&fleet.stack, SOON).await?);
    for worker in &mut workers {
        worker.terminate()?;
        ensure!(worker.wait_exit(Duration::from_secs(10)).await?.success());
    }
    fleet.close().await
}
