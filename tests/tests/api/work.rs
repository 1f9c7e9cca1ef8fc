//! A worker's stream: hello, credit, what it gets, payloads and results, progress.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context, Result};
use taskyard_core::{Error, ErrorCode, limits};
use taskyard_proto::{
    status::from_status,
    v1::{
        Assignment, Chunk, Completed, Hello, NewTask, Progress, ProgressReport, ProgressReports, Slots, TaskState,
        Verdict, WatchTasksRequest, result::Outcome, watch_tasks_response::Message, work_request::Message as Say,
    },
};
use taskyard_testkit::eventually;
use taskyard_tests::{RawWorker, SOON, Setup, WorkerOptions, new_task, noop, retry_policy, seconds};
use tonic::Status;
use uuid::Uuid;

use crate::expect::{NEVER, next_run, next_stop, no_run};

fn error_of(error: &anyhow::Error) -> Error {
    from_status(error.downcast_ref::<Status>().expect("a status"))
}

/// Why a hello is refused.
async fn refusal(setup: &Setup, options: WorkerOptions) -> Error {
    match setup.worker(options).await {
        Ok(_) => panic!("it is let in"),
        Err(error) => error_of(&error),
    }
}

#[tokio::test]
async fn a_hello_that_makes_no_sense_is_refused_with_its_reason() -> Result<()> {
    let setup = Setup::open().await?;
    let names = |count: usize| (0..count).map(|n| format!("k{n}")).collect::<Vec<_>>();
    let wrong = [
        ("hello.kinds", WorkerOptions { kinds: vec![], ..WorkerOptions::default() }),
        ("hello.kinds", WorkerOptions { kinds: vec!["no spaces".into()], ..WorkerOptions::default() }),
        ("hello.kinds", WorkerOptions { kinds: vec!["noop".into(), "manual".into()], ..WorkerOptions::default() }),
        ("hello.kinds", WorkerOptions { kinds: names(limits::WORKER_NAMES_MAX + 1), ..WorkerOptions::default() }),
        ("hello.queues", WorkerOptions { queues: vec![String::new()], ..WorkerOptions::default() }),
        ("hello.queues", WorkerOptions { queues: names(limits::WORKER_NAMES_MAX + 1), ..WorkerOptions::default() }),
        ("hello.slots", WorkerOptions { slots: limits::SLOTS_MAX + 1, ..WorkerOptions::default() }),
        ("hello.session", WorkerOptions { session: Uuid::nil(), ..WorkerOptions::default() }),
        ("hello.held.task_id", WorkerOptions { held: vec![("x".into(), 1)], ..WorkerOptions::default() }),
    ];
    for (field, options) in wrong {
        let error = refusal(&setup, options).await;
        assert_eq!((error.code, error.violations[0].field.as_str()), (ErrorCode::InvalidInput, field), "{error}");
    }
    assert_eq!(setup.stack.number("select count(*) from tasks.sessions").await?, 0);
    let most = WorkerOptions {
        kinds: names(limits::WORKER_NAMES_MAX),
        queues: names(limits::WORKER_NAMES_MAX),
        slots: limits::SLOTS_MAX,
        ..WorkerOptions::default()
    };
    let worker = setup.worker(most).await?;
    assert_eq!(worker.welcome.connection, 1);

    // A second hello on a stream.
    let mut twice = setup.worker_with(1).await?;
    let hello = Hello { session: Uuid::new_v4().to_string(), kinds: vec!["noop".into()], ..Hello::default() };
    twice.say(Say::Hello(hello)).await?;
    let ended = async {
        while twice.step().await? {}
        Ok::<_, anyhow::Error>(())
    };
    let error = tokio::time::timeout(SOON, ended).await?.expect_err("the stream fails");
    assert_eq!(error_of(&error).code, ErrorCode::InvalidInput);
    drop((worker, twice));
    setup.close().await
}

#[tokio::test]
async fn a_newer_hello_of_a_session_takes_it_over_with_what_it_holds() -> Result<()> {
    let setup = Setup::open().await?;
    let mut first = setup.worker_with(3).await?;
    setup.create_all((0..3).map(|_| noop()).collect()).await?;
    let runs = first.runs(3, SOON).await?;
    // One that it holds, one that it forgot, one whose result was under way, and one that never was its own.
    let foreign = (Uuid::now_v7().to_string(), 1);
    let held: Vec<_> = [0, 2].iter().map(|n: &usize| (runs[*n].task_id.clone(), 1)).chain([foreign.clone()]).collect();
    let options = WorkerOptions { session: first.session, held, slots: 3, ..WorkerOptions::default() };
    let mut second = setup.worker(options).await?;
    assert_eq!((first.welcome.connection, second.welcome.connection), (1, 2));
    // The old stream is closed.
    let closed = async { while first.step().await.unwrap_or(false) {} };
    tokio::time::timeout(SOON, closed).await.context("the old stream goes on")?;
    let stop = next_stop(&mut second).await?;
    assert_eq!((stop.task_id, stop.run), foreign);
    // What it forgot comes again, once the slot of the stopped one is free.
    no_run(&mut second).await?;
    let stopped = Assignment { task_id: foreign.0, run: 1, ..Assignment::default() };
    second.stopped(&stopped).await?;
    let again = next_run(&mut second).await?;
    assert_eq!((again.task_id.as_str(), again.run, again.attempt), (runs[1].task_id.as_str(), 2, 0));
    for run in [&runs[0], &runs[2], &again] {
        second.complete(run).await?;
        assert_eq!(second.verdict(run, SOON).await?, Verdict::Recorded);
    }
    assert_eq!(setup.stack.count(TaskState::Completed).await?, 3);
    drop((first, second));
    setup.close().await
}

#[tokio::test]
async fn a_worker_gets_no_more_than_its_slots() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(0).await?;
    setup.create_all((0..20).map(|_| noop()).collect()).await?;
    no_run(&mut worker).await?;
    worker.slots(3).await?;
    let mut held: Vec<Assignment> = worker.runs(3, SOON).await?;
    no_run(&mut worker).await?;
    // Fewer: nothing is taken away, and none comes until it holds fewer.
    worker.slots(2).await?;
    worker.complete(&held.remove(0)).await?;
    no_run(&mut worker).await?;
    worker.complete(&held.remove(0)).await?;
    held.extend(worker.runs(1, SOON).await?);
    no_run(&mut worker).await?;
    worker.slots(5).await?;
    held.extend(worker.runs(3, SOON).await?);
    no_run(&mut worker).await?;
    assert_eq!(setup.stack.count(TaskState::Running).await?, 5);
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn a_worker_gets_its_queues_and_kinds_only() -> Result<()> {
    let setup = Setup::open().await?;
    let options = |queues: &[&str], kinds: &[&str]| WorkerOptions {
        queues: queues.iter().map(ToString::to_string).collect(),
        kinds: kinds.iter().map(ToString::to_string).collect(),
        slots: 100,
        ..WorkerOptions::default()
    };
    let mut a_x = setup.worker(options(&["a"], &["x"])).await?;
    let mut ab_y = setup.worker(options(&["a", "b"], &["y"])).await?;
    let mut any_z = setup.worker(options(&[], &["z"])).await?;
    let mut batch = Vec::new();
    for queue in ["a", "b", "c"] {
        for kind in ["x", "y", "z", "w"] {
            batch.push(NewTask { queue: queue.into(), ..new_task(kind) });
        }
    }
    setup.create_all(batch).await?;
    let names = |runs: Vec<Assignment>| runs.into_iter().map(|run| run.queue + &run.kind).collect::<HashSet<_>>();
    let expected = |names: &[&str]| names.iter().map(ToString::to_string).collect::<HashSet<_>>();
    assert_eq!(names(a_x.runs(1, SOON).await?), expected(&["ax"]));
    assert_eq!(names(ab_y.runs(2, SOON).await?), expected(&["ay", "by"]));
    assert_eq!(names(any_z.runs(3, SOON).await?), expected(&["az", "bz", "cz"]));
    for worker in [&mut a_x, &mut ab_y, &mut any_z] {
        worker.listen(NEVER).await?;
        assert_eq!(worker.waiting(), 0);
    }
    assert_eq!(setup.stack.count(TaskState::Ready).await?, 6);
    drop((a_x, ab_y, any_z));
    setup.close().await
}

#[tokio::test]
async fn a_worker_holds_no_more_bytes_than_its_credit_but_when_idle_any_size() -> Result<()> {
    let setup = Setup::open().await?;
    let sized = |bytes: usize| NewTask { payload: format!("\"{}\"", "x".repeat(bytes - 2)).into(), ..noop() };
    let options = WorkerOptions { slots: 10, bytes: 10_000, ..WorkerOptions::default() };
    let mut worker = setup.worker(options).await?;
    setup.create_all((0..5).map(|_| sized(4_000)).collect()).await?;
    let mut held = worker.runs(2, SOON).await?;
    no_run(&mut worker).await?;
    worker.complete(&held.remove(0)).await?;
    held.push(next_run(&mut worker).await?);
    no_run(&mut worker).await?;
    // More credit, at once.
    worker.say(Say::Slots(Slots { slots: 10, bytes: 12_000 })).await?;
    held.push(next_run(&mut worker).await?);
    no_run(&mut worker).await?;
    for run in &held {
        worker.complete(run).await?;
    }
    let last = next_run(&mut worker).await?;

    // A large one waits until nothing is held, then it comes alone.
    setup.create_all(vec![sized(500_000)]).await?;
    no_run(&mut worker).await?;
    worker.complete(&last).await?;
    let large = next_run(&mut worker).await?;
    assert_eq!(large.payload.len(), 500_000);
    setup.create_all(vec![sized(10)]).await?;
    no_run(&mut worker).await?;
    worker.complete(&large).await?;
    assert_eq!(next_run(&mut worker).await?.payload.len(), 10);
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn what_a_worker_gets_is_the_task() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(1).await?;
    let new = NewTask {
        title: "größe".into(),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        payload: r#"{ "a" : [1.50, "\u0000"] }"#.into(),
        timeout: seconds(77),
        retry: retry_policy(7),
        queue: "q".into(),
        ..noop()
    };
    let task = setup.create(new.clone()).await?;
    let run = next_run(&mut worker).await?;
    let expected = Assignment {
        task_id: task.id,
        run: 1,
        namespace: "default".into(),
        queue: "q".into(),
        kind: "noop".into(),
        title: new.title,
        labels: new.labels,
        attempt: 0,
        attempts_max: 7,
        timeout: new.timeout,
        create_time: task.create_time,
        // Byte by byte as it was handed in.
        payload: new.payload,
        chunked_bytes: 0,
    };
    assert_eq!(run, expected);
    drop(worker);
    setup.close().await
}

/// Reports a result of any size, cut up where it must be.
async fn complete_with(worker: &RawWorker, run: &Assignment, result: &[u8]) -> Result<()> {
    let (result, chunked_bytes) = if result.len() > limits::CHUNK_BYTES_MAX {
        for data in result.chunks(limits::CHUNK_BYTES_MAX) {
            let chunk = Chunk { task_id: run.task_id.clone(), run: run.run, data: data.to_vec().into() };
            worker.say(Say::Chunk(chunk)).await?;
        }
        (&b""[..], result.len() as u64)
    } else {
        (result, 0)
    };
    worker.report(run, Outcome::Completed(Completed { result: result.to_vec().into(), chunked_bytes })).await
}

#[tokio::test]
async fn the_largest_payloads_and_results_come_through_whole() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(20).await?;
    let largest = |n: usize| {
        let text: String = (0..)
            .map(|at| char::from(b'a' + ((at * 7 + n * 13 + at / 251) % 26) as u8))
            .take(limits::PAYLOAD_BYTES_MAX - 2)
            .collect();
        format!("\"{text}\"")
    };
    let sizes = (0..5).map(largest).chain([
        "7".to_owned(),
        format!("\"{}\"", "x".repeat(65_534)),
        format!("\"{}\"", "x".repeat(65_535)),
    ]);
    let tasks: Vec<NewTask> = sizes.map(|payload| NewTask { payload: payload.into(), ..noop() }).collect();
    setup.create_all(tasks.clone()).await?;
    let runs = worker.runs(tasks.len(), SOON).await?;
    for (n, run) in runs.iter().enumerate() {
        let task = tasks.iter().find(|task| task.id == run.task_id).context("one of ours")?;
        assert!(run.payload == task.payload, "the payload of {} bytes", task.payload.len());
        complete_with(&worker, run, largest(n + 100).as_bytes()).await?;
    }
    for run in &runs {
        assert_eq!(worker.verdict(run, SOON).await?, Verdict::Recorded);
    }
    for (n, run) in runs.iter().enumerate() {
        let task = setup.get(&run.task_id).await?;
        assert!(task.result == largest(n + 100), "the result of {} bytes", task.result.len());
        assert!(task.payload == run.payload);
    }
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn a_result_that_cannot_be_taken_is_said_to_be_so_and_a_failure_can_follow() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(1).await?;
    let too_large = format!("\"{}\"", "x".repeat(limits::RESULT_BYTES_MAX - 1));
    let task = setup.create(noop()).await?;
    let run = next_run(&mut worker).await?;
    let short_of_chunks = Outcome::Completed(Completed { chunked_bytes: 10, ..Completed::default() });
    for result in [&b"{"[..], b"\"\xff\"", b"1 2", too_large.as_bytes()] {
        complete_with(&worker, &run, result).await?;
        assert_eq!(worker.verdict(&run, SOON).await?, Verdict::Invalid);
    }
    worker.report(&run, short_of_chunks).await?;
    assert_eq!(worker.verdict(&run, SOON).await?, Verdict::Invalid);
    worker
        .report_all(vec![taskyard_proto::v1::Result { task_id: run.task_id.clone(), run: run.run, outcome: None }])
        .await?;
    assert_eq!(worker.verdict(&run, SOON).await?, Verdict::Invalid);
    // It is still held.
    assert_eq!(setup.get(&task.id).await?.state(), TaskState::Running);
    let next = setup.create(noop()).await?;
    no_run(&mut worker).await?;
    worker
        .report(
            &run,
            Outcome::Failed(taskyard_proto::v1::Failed {
                fatal: true,
                error: "too large".into(),
                ..Default::default()
            }),
        )
        .await?;
    assert_eq!(worker.verdict(&run, SOON).await?, Verdict::Recorded);
    assert_eq!(setup.get(&task.id).await?.error, "too large");
    let run = next_run(&mut worker).await?;
    assert_eq!(run.task_id, next.id);
    // An empty result is `null`.
    complete_with(&worker, &run, b"").await?;
    assert_eq!(setup.until(&next.id, TaskState::Completed).await?.result, "null");

    // Runs of nobody, or of another.
    let nobody = Assignment { task_id: Uuid::now_v7().to_string(), run: 1, ..Assignment::default() };
    worker.complete(&nobody).await?;
    assert_eq!(worker.verdict(&nobody, SOON).await?, Verdict::Refused);
    let later = Assignment { run: 2, ..run.clone() };
    worker.complete(&later).await?;
    assert_eq!(worker.verdict(&later, SOON).await?, Verdict::Refused);
    let other = setup.worker_with(0).await?;
    let mut other = other;
    other.complete(&run).await?;
    assert_eq!(other.verdict(&run, SOON).await?, Verdict::Refused, "another session's");
    worker.complete(&run).await?;
    assert_eq!(worker.verdict(&run, SOON).await?, Verdict::Recorded, "its own, again");
    drop((worker, other));
    setup.close().await
}

#[tokio::test]
async fn many_results_in_one_message_are_answered_each() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(300).await?;
    setup.create_all((0..300).map(|_| noop()).collect()).await?;
    let runs = worker.runs(300, SOON).await?;
    let result = |run: &Assignment, outcome| taskyard_proto::v1::Result {
        task_id: run.task_id.clone(),
        run: run.run,
        outcome: Some(outcome),
    };
    let results = runs.iter().enumerate().flat_map(|(n, run)| {
        let completed = |text: &str| Outcome::Completed(Completed { result: text.to_owned().into(), chunked_bytes: 0 });
        match n % 3 {
            // Twice the same run, with different ends: the first counts.
            0 => vec![result(run, completed("1")), result(run, completed("2"))],
            1 => vec![result(run, completed("{"))],
            _ => vec![result(run, Outcome::Returned(taskyard_proto::v1::Returned {}))],
        }
    });
    worker.slots(0).await?;
    worker.report_all(results.collect()).await?;
    for (n, run) in runs.iter().enumerate() {
        let expected = if n % 3 == 1 { Verdict::Invalid } else { Verdict::Recorded };
        assert_eq!(worker.verdict(run, SOON).await?, expected);
        if n % 3 == 0 {
            assert_eq!(worker.verdict(run, SOON).await?, Verdict::Recorded);
            assert_eq!(setup.get(&run.task_id).await?.result, "1");
        }
    }
    assert_eq!(setup.stack.count(TaskState::Completed).await?, 100);
    assert_eq!(setup.stack.count(TaskState::Running).await?, 100);
    assert_eq!(setup.stack.count(TaskState::Ready).await?, 100);
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn progress_is_seen_live_and_while_the_run_lasts() -> Result<()> {
    let setup = Setup::open().await?;
    let second = setup.stack.pod().await?;
    let mut worker = setup.worker_with(1).await?;
    let task = setup.create(NewTask { retry: retry_policy(3), ..noop() }).await?;
    let run = next_run(&mut worker).await?;
    let watch = WatchTasksRequest { task_id: task.id.clone(), progress: true, ..WatchTasksRequest::default() };
    // At the other pod: progress travels between them.
    let mut watch = second.tasks().await?.watch_tasks(watch).await?.into_inner();
    let report = |run: u32, percent: u32, message: &str| {
        let progress = Some(Progress { percent, message: message.to_owned() });
        ProgressReport { task_id: task.id.clone(), run, progress }
    };
    // Of a run that it does not hold, too much, and of a task that is nobody's: passed over.
    let other = ProgressReport { task_id: Uuid::now_v7().to_string(), ..report(1, 1, "not ours") };
    let reports = vec![report(7, 99, "another run"), other, report(1, 40, "nearly")];
    worker.say(Say::Progress(ProgressReports { reports })).await?;
    let shown = async |text: &str| {
        eventually(SOON, format!("progress {text:?}"), async || {
            setup.get(&task.id).await.ok()?.progress.filter(|progress| progress.message == text)
        })
        .await
    };
    assert_eq!(shown("nearly").await?.percent, 40);
    let long = "ä".repeat(1_000);
    worker.say(Say::Progress(ProgressReports { reports: vec![report(1, 1_000, &long)] })).await?;
    assert_eq!(shown(&"ä".repeat(256)).await?.percent, 100);

    let mut seen = Vec::new();
    while seen.len() < 2 {
        let message = tokio::time::timeout(SOON, watch.message()).await??.context("the watch ended")?.message;
        if let Some(Message::Progress(progress)) = message {
            assert_eq!((progress.task_id.as_str(), progress.run), (task.id.as_str(), 1));
            seen.push(progress.progress.unwrap_or_default().percent);
        }
    }
    assert_eq!(seen, [40, 100]);

    // The next run begins without it.
    worker.hand_back(&run).await?;
    assert_eq!(next_run(&mut worker).await?.run, 2);
    assert_eq!(setup.get(&task.id).await?.progress, None);
    let reports = vec![report(1, 50, "late")];
    worker.say(Say::Progress(ProgressReports { reports })).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(setup.get(&task.id).await?.progress, None, "of a run that is over");
    drop((worker, watch));
    second.stop().await?;
    setup.close().await
}
