//! Order of starts.

use std::time::Duration;

use anyhow::Result;
use taskyard_core::limits;
use taskyard_proto::v1::{CreateTaskRequest, CreateTasksRequest, NewTask, Verdict, create_tasks_result};
use taskyard_tests::{RawWorker, Stack, WorkerOptions, noop};

use crate::SOON;

/// More than the leader keeps in memory of a queue and kind.
const WAITING: usize = 10_000;

#[tokio::test]
async fn a_late_task_of_high_priority_starts_next() -> Result<()> {
    let stack = Stack::shared().await?;
    let pod = stack.pod().await?;
    let mut client = pod.tasks().await?;
    for _ in 0..WAITING / limits::BATCH_TASKS_MAX {
        let tasks = (0..limits::BATCH_TASKS_MAX).map(|_| noop()).collect();
        let created = client.create_tasks(CreateTasksRequest { tasks }).await?.into_inner().results;
        assert!(created.iter().all(|one| matches!(one.result, Some(create_tasks_result::Result::Created(_)))));
    }
    let mut worker = RawWorker::open(&pod.url(), WorkerOptions { slots: 1, ..WorkerOptions::default() }).await?;
    let mut now = worker.next_run(SOON).await?.expect("a run");
    // Each comes late, while the one slot is taken, and each has higher priority than the last.
    for priority in [6, 9] {
        let late = NewTask { priority: Some(priority), ..noop() };
        client.create_task(CreateTaskRequest { task: Some(late.clone()) }).await?;
        // Its wake is on its way when the create is answered.
        worker.listen(Duration::from_millis(500)).await?;
        assert_eq!(worker.waiting(), 0, "there is one slot");
        worker.complete(&now).await?;
        assert_eq!(worker.verdict(&now, SOON).await?, Verdict::Recorded);
        now = worker.next_run(SOON).await?.expect("a run");
        assert_eq!(now.task_id, late.id, "the late one is next");
    }
    // Then the others go on, the first created first.
    worker.complete(&now).await?;
    let next = worker.next_run(SOON).await?.expect("a run");
    let oldest: uuid::Uuid =
        sqlx::query_scalar("select id from tasks.active order by due_at, id limit 1").fetch_one(&stack.pool).await?;
    assert_eq!(next.task_id, oldest.to_string());
    worker.complete(&next).await?;
    worker.verdict(&next, SOON).await?;
    pod.stop().await?;
    stack.close().await
}
