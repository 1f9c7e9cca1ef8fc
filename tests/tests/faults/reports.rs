//! Who may report on a run.

use std::time::Duration;

use anyhow::Result;
use taskyard_proto::v1::{
    Assignment, Completed, CreateTaskRequest, GetTaskRequest, NewTask, Result as RunResult, RetryPolicy, TaskState,
    Verdict, result::Outcome,
};
use taskyard_tests::{History, RawWorker, Stack, WorkerOptions, noop};
use uuid::Uuid;

use crate::SOON;

fn completed(text: &str) -> Outcome {
    Outcome::Completed(Completed { result: format!("\"{text}\"").into(), chunked_bytes: 0 })
}

async fn report(worker: &mut RawWorker, run: &Assignment, outcome: Outcome) -> Result<Verdict> {
    worker.report(run, outcome).await?;
    worker.verdict(run, SOON).await
}

#[tokio::test]
async fn only_the_newest_run_counts_and_a_repetition_is_recorded() -> Result<()> {
    let stack = Stack::shared().await?;
    let (here, there) = (stack.pod().await?, stack.pod().await?);
    let mut client = here.tasks().await?;
    let session = Uuid::new_v4();
    let options = |slots| WorkerOptions { session, slots, ..WorkerOptions::default() };
    let mut old = RawWorker::open(&here.url(), options(1)).await?;
    let retry = RetryPolicy { attempts_max: 3, ..RetryPolicy::default() };
    let task = NewTask { retry: Some(retry), ..noop() };
    client.create_task(CreateTaskRequest { task: Some(task.clone()) }).await?;
    let first = old.next_run(SOON).await?.expect("the first run");

    // The worker says hello at another pod and does not hold the run any more: the next one is another's.
    let mut old = RawWorker::open(&there.url(), options(0)).await?;
    let mut new = RawWorker::open(&there.url(), WorkerOptions { slots: 1, ..WorkerOptions::default() }).await?;
    let second = new.next_run(SOON).await?.expect("the second run");
    assert_eq!((first.run, second.run, &first.task_id), (1, 2, &second.task_id));

    assert_eq!(report(&mut old, &first, completed("old")).await?, Verdict::Refused, "of a run that went to another");
    assert_eq!(report(&mut old, &second, completed("old")).await?, Verdict::Refused, "of another's run");
    let failed = Outcome::Failed(taskyard_proto::v1::Failed { error: "no".to_owned(), ..Default::default() });
    assert_eq!(report(&mut old, &first, failed.clone()).await?, Verdict::Refused, "a failure no less");
    assert_eq!(report(&mut old, &first, Outcome::Returned(Default::default())).await?, Verdict::Refused);

    // Twice in one message, and again.
    let result =
        |run: &Assignment, outcome| RunResult { task_id: run.task_id.clone(), run: run.run, outcome: Some(outcome) };
    new.report_all(vec![result(&second, completed("new")), result(&second, completed("new"))]).await?;
    assert_eq!(new.verdict(&second, SOON).await?, Verdict::Recorded);
    assert_eq!(new.verdict(&second, SOON).await?, Verdict::Recorded);
    assert_eq!(report(&mut new, &second, completed("new")).await?, Verdict::Recorded);
    assert_eq!(report(&mut new, &second, failed).await?, Verdict::Recorded, "an earlier one of this run is recorded");
    assert_eq!(report(&mut old, &first, completed("old")).await?, Verdict::Refused, "after the end no less");

    let task = client.get_task(GetTaskRequest { id: task.id }).await?.into_inner().task.expect("it");
    assert_eq!((task.state(), task.run, task.attempt, &task.result[..]), (TaskState::Completed, 2, 0, &b"\"new\""[..]));
    let history = History::read(&stack.pool).await?;
    assert_eq!(history.faults(), Vec::<String>::new());
    let ends = history.events.iter().filter(|event| event.to_state == Some(TaskState::Completed as i16));
    assert_eq!(ends.count(), 1);
    here.stop().await?;
    there.stop().await?;
    stack.close().await
}

#[tokio::test]
async fn an_earlier_run_of_the_same_worker_does_not_end_its_newer_one() -> Result<()> {
    let stack = Stack::shared().await?;
    let pod = stack.pod().await?;
    let mut client = pod.tasks().await?;
    let mut worker = RawWorker::open(&pod.url(), WorkerOptions::default()).await?;
    let backoff = Some(prost_types::Duration { seconds: 0, nanos: 1_000_000 });
    let retry = RetryPolicy { attempts_max: 3, backoff, backoff_max: backoff };
    let task = NewTask { retry: Some(retry), ..noop() };
    client.create_task(CreateTaskRequest { task: Some(task.clone()) }).await?;
    let first = worker.next_run(SOON).await?.expect("the first run");
    worker.fail(&first, "no").await?;
    assert_eq!(worker.verdict(&first, SOON).await?, Verdict::Recorded);
    let second = worker.next_run(SOON).await?.expect("the second run");
    // The failure again, as after a cut: it was recorded, and spends no second attempt.
    worker.fail(&first, "no").await?;
    assert_eq!(worker.verdict(&first, SOON).await?, Verdict::Recorded);
    // Handed back, the third run is the same worker's, too.
    worker.hand_back(&second).await?;
    assert_eq!(worker.verdict(&second, SOON).await?, Verdict::Recorded);
    let third = worker.next_run(SOON).await?.expect("the third run");
    assert_eq!(report(&mut worker, &second, completed("second")).await?, Verdict::Refused, "it was handed back");
    assert_eq!(worker.next_run(Duration::from_millis(300)).await?, None, "the third goes on");
    assert_eq!(report(&mut worker, &third, completed("third")).await?, Verdict::Recorded);
    let task = client.get_task(GetTaskRequest { id: task.id }).await?.into_inner().task.expect("it");
    assert_eq!((task.run, task.attempt, &task.result[..]), (3, 1, &b"\"third\""[..]));
    assert_eq!(History::read(&stack.pool).await?.faults(), Vec::<String>::new());
    pod.stop().await?;
    stack.close().await
}
