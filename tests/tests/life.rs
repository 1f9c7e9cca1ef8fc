//! A task's life through the real service and servers.

use std::time::Duration;

use anyhow::Result;
use taskyard_proto::v1::{CreateTaskRequest, GetTaskRequest, TaskState, Verdict};
use taskyard_tests::{RawWorker, Stack, WorkerOptions, noop};

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
