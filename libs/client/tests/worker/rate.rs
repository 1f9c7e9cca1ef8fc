//! Many tiny tasks through one stream are cheap.

use std::{collections::HashSet, time::Duration};

use taskyard_client::{
    v1::{self, Verdict, work_request::Message, work_response},
    worker::{Job, Outcome},
};
use tokio::time::Instant;

use crate::fake::{FakePod, FakeWorker, assignment, builder, new_id};

/// A pod that keeps 1,000 slots full. The bound is far below what a release build does, so that a busy machine passes;
/// `--nocapture` shows the rate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiny_tasks_flow_in_batches() {
    const TASKS: usize = 20_000;
    const SLOTS: usize = 1_000;
    let mut pod = FakePod::start();
    let worker = builder(&[&pod]).slots(u32::try_from(SLOTS).unwrap());
    let _worker = FakeWorker::start(worker, |job: Job, _| async { Outcome::Completed(job.payload) });
    let mut stream = pod.welcome().await;
    let began = Instant::now();
    let (mut given, mut messages) = (SLOTS, 0);
    stream.assign((0..SLOTS).map(|_| assignment(&new_id(), 1, "1"))).await;
    let mut done = HashSet::new();
    while done.len() < TASKS {
        let Message::Results(results) = stream.next().await else { continue };
        messages += 1;
        let names: Vec<_> = results.results.into_iter().map(|result| result.task_id).collect();
        let acks = names.iter().map(|task_id| v1::ResultAck {
            task_id: task_id.clone(),
            run: 1,
            verdict: Verdict::Recorded.into(),
            message: String::new(),
        });
        stream.send(work_response::Message::Acks(v1::ResultAcks { acks: acks.collect() })).await;
        let more = names.len().min(TASKS - given);
        given += more;
        stream.assign((0..more).map(|_| assignment(&new_id(), 1, "1"))).await;
        for name in names {
            assert!(done.insert(name), "a result came twice");
        }
    }
    let took = began.elapsed();
    println!("{TASKS} tasks in {took:?}: {:.0}/s, {messages} messages", TASKS as f64 / took.as_secs_f64());
    assert!(took < Duration::from_secs(20), "{took:?}");
}
