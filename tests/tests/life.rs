//! A task's life through the real service and servers.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use taskyard_proto::v1::{CreateTaskRequest, GetTaskRequest, TaskState, Verdict};
use taskyard_testkit::{Sandbox, Servers};
use taskyard_tests::{RawWorker, Setup, Stack, WorkerOptions, noop};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_task_goes_in_runs_and_comes_back() -> Result<()> {
    let stack = Stack::shared().await?;
    let pod = stack.pod().await?;
    let mut client = pod.tasks().await?;
    let mut worker = RawWorker::open(&pod.url(), WorkerOptions::default()).await?;
    let created = client.create_task(CreateTaskRequest { task: Some(noop()) }).await?.into_inner();
    let task = created.task.unwrap();
    assert!(created.created);
    assert_eq!(task.state(), TaskState::Ready);
    let run = worker.next_run(SOON).await?.expect("a run");
    assert_eq!((run.task_id.as_str(), run.run), (task.id.as_str(), 1));
    worker.complete(&run).await?;
    assert_eq!(worker.verdict(&run, SOON).await?, Verdict::Recorded);
    let task = client.get_task(GetTaskRequest { id: task.id }).await?.into_inner().task.unwrap();
    assert_eq!(task.state(), TaskState::Completed);
    assert_eq!(&task.result[..], b"null");
    worker.goodbye().await?;
    pod.stop().await?;
    stack.close().await
}

/// One task after the other.
async fn live(setup: &Setup, worker: &mut RawWorker, count: usize) -> Result<()> {
    for _ in 0..count {
        setup.create(noop()).await?;
        let run = worker.next_run(SOON).await?.context("a run")?;
        worker.complete(&run).await?;
        ensure!(worker.verdict(&run, SOON).await? == Verdict::Recorded);
    }
    Ok(())
}

/// How many pages of memory each statement touches for a task.
async fn touched(setup: &Setup, worker: &mut RawWorker) -> Result<BTreeMap<String, i64>> {
    let pool = &setup.stack.pool;
    sqlx::query("select pg_stat_statements_reset()").execute(pool).await?;
    live(setup, worker, 100).await?;
    let statements: Vec<(String, i64)> = sqlx::query_as(
        "select query, ((shared_blks_hit + shared_blks_read) / calls)::bigint from pg_stat_statements \
         where calls >= 50 and query like '%tasks.%'",
    )
    .fetch_all(pool)
    .await?;
    ensure!(statements.len() >= 4, "a create, a start, a read and a finish: {statements:?}");
    Ok(statements.into_iter().collect())
}

/// Plans are made while the tables are empty, and used when they are not.
#[tokio::test]
async fn a_task_costs_the_same_however_many_there_were() -> Result<()> {
    let servers = Servers::private(&[("shared_preload_libraries", "pg_stat_statements")]).await?;
    let setup = Setup::on(Stack::on(Sandbox::new(&servers).await?).await?).await?;
    sqlx::query("create extension pg_stat_statements").execute(&setup.stack.pool).await?;
    let mut worker = setup.worker_with(10).await?;
    live(&setup, &mut worker, 50).await?;
    let few = touched(&setup, &mut worker).await?;
    for batch in 0..5 {
        setup.create_all((0..1_000).map(|_| noop()).collect()).await?;
        for _ in 0..1_000 {
            let run = worker.next_run(SOON).await?.context("a run")?;
            worker.complete(&run).await?;
        }
        let completed = 150 + 1_000 * (batch + 1);
        setup.stack.wait_for(TaskState::Completed, completed, SOON).await?;
    }
    let many = touched(&setup, &mut worker).await?;
    for (query, pages) in many {
        let before = few.get(&query).copied().unwrap_or_default();
        // A level more of an index here and there.
        ensure!(pages <= 2 * before + 50, "{before} pages, {pages} with a history, for {query}");
    }
    worker.goodbye().await?;
    setup.close().await
}
