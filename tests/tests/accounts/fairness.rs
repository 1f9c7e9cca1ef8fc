//! Namespaces take turns.

use std::time::Duration;

use anyhow::Result;
use taskyard_proto::v1::{CreateTasksRequest, NewTask, TaskState};
use taskyard_tests::new_task;
use tokio::time::Instant;

use crate::setup::{Accounts, shown};

const MANY: usize = 100_000;
const BATCH: usize = 1_000;

/// What a few tasks of one namespace may take while another has very many: a start, 50 ms of work and its end for each
/// round of slots, and a wide allowance.
const SOON_ENOUGH: Duration = Duration::from_secs(5);

fn nap() -> NewTask {
    NewTask { payload: r#"{"ms": 50}"#.into(), ..new_task("sleep") }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_of_one_namespace_do_not_delay_a_few_of_another() -> Result<()> {
    let accounts = Accounts::open().await?;
    let (busy, calm) = (accounts.register("busy@example.com").await?, accounts.register("calm@example.com").await?);
    let mut tasks = accounts.tasks();
    for _ in 0..MANY / BATCH {
        let batch = CreateTasksRequest { tasks: (0..BATCH).map(|_| nap()).collect() };
        tasks.create_tasks(shown(&busy.access, batch)).await?;
    }
    let slots = [("TASKYARD_WORKER_SLOTS", "10".to_owned())];
    let worker = accounts.stack.worker_process(&[accounts.pod.url()], &slots)?;
    accounts.stack.wait_for(TaskState::Completed, 50, Duration::from_secs(30)).await?;

    let began = Instant::now();
    let batch = CreateTasksRequest { tasks: (0..10).map(|_| nap()).collect() };
    tasks.create_tasks(shown(&calm.access, batch)).await?;
    let done = "select count(*) from tasks.finished f join tasks.namespaces n on n.id = f.namespace \
                where n.name = 'calm' and f.state = 5";
    while accounts.stack.number(done).await? < 10 {
        assert!(began.elapsed() < SOON_ENOUGH, "{} of 10 after {SOON_ENOUGH:?}", accounts.stack.number(done).await?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let waiting = accounts.stack.count(TaskState::Ready).await?;
    assert!(waiting > (MANY as i64) * 9 / 10, "{waiting} still wait");
    drop(worker);
    accounts.close().await
}
