//! Callers that create tasks.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use anyhow::{Context, Result, bail};
use taskyard_proto::v1::{CreateTaskRequest, CreateTasksRequest, NewTask, create_tasks_result};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    calls::{self, Tasks},
    fleet::Fleet,
};

/// A task that does nothing.
pub fn noop() -> NewTask {
    NewTask {
        id: Uuid::now_v7().to_string(),
        kind: "noop".into(),
        title: "A task that does nothing".into(),
        payload: r#"{"from":"bench"}"#.into(),
        ..NewTask::default()
    }
}

/// Creates so many tasks: single creates by 256 callers, or batches by 8.
pub async fn create(fleet: &Fleet, tasks: usize, batch: usize) -> Result<()> {
    let callers = if batch == 1 { 256 } else { 8 };
    let mut channels = Vec::new();
    for url in fleet.urls() {
        for _ in 0..2 {
            channels.push(calls::connect(url).await?);
        }
    }
    let left = Arc::new(AtomicI64::new(tasks as i64));
    let mut running: JoinSet<Result<()>> = JoinSet::new();
    for caller in 0..callers {
        let client = calls::tasks(channels[caller % channels.len()].clone(), fleet.key())?;
        let left = left.clone();
        running.spawn(async move {
            if batch == 1 { single(client, &left).await } else { batches(client, &left, batch).await }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

async fn single(mut client: Tasks, left: &AtomicI64) -> Result<()> {
    while left.fetch_sub(1, Ordering::Relaxed) > 0 {
        client.create_task(CreateTaskRequest { task: Some(noop()) }).await.context("a create failed")?;
    }
    Ok(())
}

async fn batches(mut client: Tasks, left: &AtomicI64, batch: usize) -> Result<()> {
    loop {
        let before = left.fetch_sub(batch as i64, Ordering::Relaxed);
        if before <= 0 {
            return Ok(());
        }
        let size = batch.min(usize::try_from(before)?);
        let tasks = (0..size).map(|_| noop()).collect();
        let answer = client.create_tasks(CreateTasksRequest { tasks }).await.context("a batch failed")?.into_inner();
        for result in answer.results {
            if let Some(create_tasks_result::Result::Error(error)) = result.result {
                bail!("a task of a batch was refused: {}", error.message);
            }
        }
    }
}
