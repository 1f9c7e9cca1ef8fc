//! The same tasks are started, finished, canceled, retried, changed and completed by hand at once, from all sides.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use rand::Rng;
use taskyard_client::{
    Client, ErrorCode, Pods,
    v1::{NewTask, TaskUpdate, UpdateTaskRequest},
    worker::{Context, Job, Outcome, Worker},
};
use taskyard_testkit::eventually;
use taskyard_tests::{History, Stack, manual, new_task, retry_policy};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{ALLOWANCE, none, pods, urls};

/// Few enough that everybody is always at the same ones.
const TASKS: usize = 40;
const CLIENTS: usize = 9;
const RACE: Duration = Duration::from_secs(15);

/// Does something to a task. What its state does not allow is refused, and no more.
async fn meddle(client: &Client, task: &NewTask) -> Result<&'static str> {
    let dice = rand::rng().random_range(0..10);
    let (what, done) = match dice {
        0..3 => ("cancel", client.cancel_task(&task.id, "raced").await.map(drop)),
        3..7 => ("retry", client.retry_task(&task.id).await.map(drop)),
        7..9 => {
            let update = UpdateTaskRequest {
                id: task.id.clone(),
                task: Some(TaskUpdate { priority: dice, title: dice.to_string(), ..TaskUpdate::default() }),
                update_mask: Some(prost_types::FieldMask { paths: vec!["title".into()] }),
                version: 0,
            };
            ("update", client.update_task(update).await.map(drop))
        }
        _ => ("complete", client.complete_task(&task.id, "").await.map(drop)),
    };
    match done {
        Ok(()) => Ok(what),
        Err(error) if error.code == ErrorCode::WrongState => Ok("refused"),
        Err(error) => bail!("{what}: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_keep_the_order_of_versions_and_nothing_deadlocks() -> Result<()> {
    // Alone on its server, whose count of deadlocks is asked in the end.
    let (_servers, stack) = Stack::private().await?;
    let pods = pods(&stack, 3).await?;
    let everywhere = Client::new(Pods::connect(urls(&pods), taskyard_tests::token())?);
    let tasks: Vec<NewTask> = (0..TASKS)
        .map(|number| {
            let task = if number % 8 == 0 { manual() } else { new_task("raced") };
            NewTask { retry: retry_policy(50), ..task }
        })
        .collect();
    for result in everywhere.create_tasks(tasks.clone()).await? {
        ensure!(matches!(result.result, Some(taskyard_client::v1::create_tasks_result::Result::Created(_))));
    }

    let stop = CancellationToken::new();
    let runs = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for pod in &pods {
        let pods = Pods::connect([pod.url()], taskyard_tests::token())?;
        let worker = Worker::builder(pods).kinds(["raced"]).slots(15).build()?;
        let (stop, runs) = (stop.clone(), runs.clone());
        let handler = move |_: Job, context: Context| {
            let runs = runs.clone();
            async move {
                runs.fetch_add(1, Ordering::Relaxed);
                let (takes_ms, fails) = (rand::random_range(0..8), rand::random_range(0..10));
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(takes_ms)) => {}
                    _ = context.stopped() => return Outcome::Stopped,
                }
                // Completed would be the end of the race.
                match fails {
                    0..4 => Outcome::failed("raced"),
                    4..9 => Outcome::fatal("raced"),
                    _ => Outcome::Returned,
                }
            }
        };
        workers.spawn(async move { worker.run(handler, stop).await });
    }
    let mut meddlers = JoinSet::new();
    let until = Instant::now() + RACE;
    for number in 0..CLIENTS {
        // Each by way of another pod, so that no pod puts what belongs together into one statement.
        let client = Client::new(Pods::connect([pods[number % pods.len()].url()], taskyard_tests::token())?);
        let tasks = tasks.clone();
        meddlers.spawn(async move {
            let mut done = 0_u32;
            while Instant::now() < until {
                let task = &tasks[rand::random_range(0..TASKS)];
                done += u32::from(meddle(&client, task).await? != "refused");
            }
            anyhow::Ok(done)
        });
    }
    let mut done = 0;
    while let Some(meddler) = meddlers.join_next().await {
        done += meddler??;
    }
    // All at once, in statements of many rows, while what is dead is retried by filter.
    let mut last = JoinSet::new();
    for pod in &pods {
        let client = Client::new(Pods::connect([pod.url()], taskyard_tests::token())?);
        let tasks = tasks.clone();
        last.spawn(async move {
            for _ in 0..5 {
                let mut retry = client.retry_tasks(taskyard_client::v1::TaskFilter::default());
                while let Some(answer) = retry.next().await? {
                    if answer.done {
                        break;
                    }
                }
                for task in tasks.iter().step_by(3) {
                    meddle(&client, task).await?;
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = last.join_next().await {
        ended??;
    }
    for task in &tasks {
        match everywhere.cancel_task(&task.id, "the end").await {
            Err(error) if error.code != ErrorCode::WrongState => bail!("{error}"),
            _ => {}
        }
    }
    eventually(ALLOWANCE, "everything has ended", async || {
        (stack.number("select count(*) from tasks.active").await.ok()? == 0).then_some(())
    })
    .await?;
    stop.cancel();
    while let Some(worker) = workers.join_next().await {
        worker??;
    }

    let history = History::read(&stack.pool).await?;
    let runs = runs.load(Ordering::Relaxed);
    println!("{} events, {runs} runs, {done} commands", history.events.len());
    none("after the race", history.faults())?;
    // Without a race there is nothing to be seen.
    ensure!(history.events.len() > TASKS * 20 && runs > TASKS as u64 * 3, "too little happened");
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    // The server counts with a delay.
    tokio::time::sleep(Duration::from_secs(1)).await;
    ensure!(stack.number(deadlocks).await? == 0, "statements of ours deadlock");
    stack.close().await
}
