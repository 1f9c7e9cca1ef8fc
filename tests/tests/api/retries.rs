//! Failures, retries, timeouts, returns.

use std::time::Duration;

use anyhow::Result;
use chrono::TimeDelta;
use taskyard_proto::v1::{EventType, Failed, NewTask, RetryPolicy, StopReason, TaskState, Verdict, result::Outcome};
use taskyard_tests::{SOON, Setup, WorkerOptions, millis, noop, seconds, time};

use crate::expect::{next_run, next_stop, no_run};

fn retry(attempts_max: u32, backoff_ms: i64) -> Option<RetryPolicy> {
    Some(RetryPolicy { attempts_max, backoff: millis(backoff_ms), backoff_max: millis(backoff_ms) })
}

#[tokio::test]
async fn a_failed_task_is_tried_again_until_its_attempts_are_spent() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(1).await?;
    let task = setup.create(NewTask { retry: retry(3, 300), ..noop() }).await?;
    for attempt in 0..3 {
        let run = next_run(&mut worker).await?;
        assert_eq!((run.run, run.attempt, run.attempts_max), (attempt + 1, attempt, 3));
        worker.fail(&run, &format!("failure {attempt}")).await?;
        assert_eq!(worker.verdict(&run, SOON).await?, Verdict::Recorded);
        let failed = setup.get(&task.id).await?;
        assert_eq!((failed.attempt, failed.error.as_str()), (attempt + 1, format!("failure {attempt}").as_str()));
        // The same report again is answered, and counts once.
        worker.fail(&run, "once more").await?;
        assert_eq!(worker.verdict(&run, SOON).await?, Verdict::Recorded);
    }
    let dead = setup.get(&task.id).await?;
    assert_eq!((dead.state(), dead.attempt, dead.error.as_str()), (TaskState::Dead, 3, "failure 2"));
    assert!(dead.finish_time.is_some());
    no_run(&mut worker).await?;
    let events = setup.events_until(&task.id, dead.version).await?;
    let types: Vec<EventType> = events.iter().map(|event| event.r#type()).collect();
    let again = [EventType::Started, EventType::Retrying, EventType::Due];
    let expected = [&[EventType::Created][..], &again, &again, &[EventType::Started, EventType::Dead]].concat();
    assert_eq!(types, expected);
    for (n, event) in events.iter().filter(|event| event.r#type() == EventType::Retrying).enumerate() {
        assert_eq!((event.error.clone(), event.counted), (format!("failure {n}"), true));
    }
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn the_delay_is_drawn_from_the_policy_or_is_what_the_worker_asks_for() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(100).await?;
    // Drawn evenly from 0 to 60 s: 40 draws lie in both halves, and none beyond.
    let batch = (0..40).map(|_| NewTask { retry: retry(5, 60_000), ..noop() }).collect();
    setup.create_all(batch).await?;
    let mut delays = Vec::new();
    for run in worker.runs(40, SOON).await? {
        worker.fail(&run, "broken").await?;
        worker.verdict(&run, SOON).await?;
        let events = setup.events_until(&run.task_id, 3).await?;
        let due = setup.get(&run.task_id).await?.due_time;
        delays.push(time(due) - time(events[2].time));
    }
    assert!(delays.iter().all(|delay| *delay >= TimeDelta::zero() && *delay <= TimeDelta::seconds(60)), "{delays:?}");
    assert!(delays.iter().any(|delay| *delay < TimeDelta::seconds(30)), "{delays:?}");
    assert!(delays.iter().any(|delay| *delay > TimeDelta::seconds(30)), "{delays:?}");
    worker.goodbye().await?;

    // Not earlier than the worker says, though the policy allows it; 8 days are cut to 7.
    let mut worker = setup.worker(WorkerOptions { kinds: vec!["patient".into()], ..WorkerOptions::default() }).await?;
    for (asked, expected) in [(20_000, 20), (8 * 86_400_000, 7 * 86_400)] {
        let task = setup.create(NewTask { kind: "patient".into(), retry: retry(5, 1), ..noop() }).await?;
        let run = next_run(&mut worker).await?;
        let failed = Failed { error: "busy".into(), retry_after: millis(asked), ..Failed::default() };
        worker.report(&run, Outcome::Failed(failed)).await?;
        worker.verdict(&run, SOON).await?;
        let task = setup.get(&task.id).await?;
        assert_eq!(task.state(), TaskState::Scheduled);
        let events = setup.events_until(&task.id, 3).await?;
        assert_eq!(time(task.due_time) - time(events[2].time), TimeDelta::seconds(expected));
    }
    // A short one is kept to as well, by the clock.
    let task = setup.create(NewTask { kind: "patient".into(), retry: retry(5, 1), ..noop() }).await?;
    let run = next_run(&mut worker).await?;
    let failed = Failed { retry_after: millis(1_500), ..Failed::default() };
    worker.report(&run, Outcome::Failed(failed)).await?;
    next_run(&mut worker).await?;
    let events = setup.events_until(&task.id, 5).await?;
    let waited = time(events[4].time) - time(events[2].time);
    assert!(waited >= TimeDelta::milliseconds(1_500) && waited < TimeDelta::seconds(4), "{waited}");
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn a_fatal_failure_is_the_last() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(1).await?;
    let task = setup.create(NewTask { retry: retry(10, 1), ..noop() }).await?;
    let run = next_run(&mut worker).await?;
    let error = format!("a\0b{}", "ä".repeat(3_000));
    worker.report(&run, Outcome::Failed(Failed { error, fatal: true, ..Failed::default() })).await?;
    assert_eq!(worker.verdict(&run, SOON).await?, Verdict::Recorded);
    let dead = setup.get(&task.id).await?;
    assert_eq!((dead.state(), dead.attempt), (TaskState::Dead, 1));
    // Cut at 4,096 bytes, at a character's border, and stored without what cannot be.
    assert!(
        dead.error.starts_with("a\u{fffd}bä") && (4_000..=4_100).contains(&dead.error.len()),
        "{}",
        dead.error.len()
    );
    // Without a text there is still one for people.
    for (failed, text) in [
        (Failed { fatal: true, ..Failed::default() }, "failed without a reason"),
        (Failed { fatal: true, timed_out: true, ..Failed::default() }, "the run took longer than its timeout"),
    ] {
        let task = setup.create(noop()).await?;
        let run = next_run(&mut worker).await?;
        worker.report(&run, Outcome::Failed(failed)).await?;
        assert_eq!(setup.until(&task.id, TaskState::Dead).await?.error, text);
    }
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn a_worker_that_ignores_the_timeout_is_told_to_stop_and_an_attempt_is_spent() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(1).await?;
    let task = setup.create(NewTask { timeout: seconds(1), retry: retry(2, 1), ..noop() }).await?;
    let run = next_run(&mut worker).await?;
    assert_eq!(run.timeout, seconds(1));
    worker.listen(Duration::from_secs(17)).await?;
    assert_eq!(setup.get(&task.id).await?.state(), TaskState::Running, "never before 20 s");
    let stop = next_stop(&mut worker).await?;
    assert_eq!((stop.task_id.as_str(), stop.run, stop.reason()), (task.id.as_str(), 1, StopReason::TimedOut));
    let task = setup.get(&task.id).await?;
    assert_eq!((task.attempt, task.error.as_str()), (1, "the run took longer than its timeout"));
    let events = setup.events_until(&task.id, 3).await?;
    assert_eq!((events[2].r#type(), events[2].counted), (EventType::Retrying, true));
    let took = time(events[2].time) - time(events[1].time);
    assert!(took >= TimeDelta::seconds(20), "{took}");

    // Its late result is refused; then it works again.
    worker.complete(&run).await?;
    assert_eq!(worker.verdict(&run, SOON).await?, Verdict::Refused);
    let run = next_run(&mut worker).await?;
    assert_eq!((run.run, run.attempt), (2, 1));
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn a_run_that_is_handed_back_spends_no_attempt_but_the_21st_time() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(1).await?;
    let task = setup.create(NewTask { retry: retry(3, 1), ..noop() }).await?;
    for number in 1..=22 {
        let run = next_run(&mut worker).await?;
        let spent = u32::from(number == 22);
        assert_eq!((run.run, run.attempt), (number, spent));
        worker.hand_back(&run).await?;
        assert_eq!(worker.verdict(&run, SOON).await?, Verdict::Recorded);
    }
    let run = next_run(&mut worker).await?;
    assert_eq!((run.run, run.attempt), (23, 2));
    // The third is the last.
    worker.hand_back(&run).await?;
    let dead = setup.until(&task.id, TaskState::Dead).await?;
    assert_eq!((dead.attempt, dead.run), (3, 23));
    assert!(!dead.error.is_empty());
    let events = setup.events_until(&task.id, dead.version).await?;
    let returned: Vec<_> = events.iter().filter(|event| event.r#type() == EventType::Returned).collect();
    assert_eq!(returned.len(), 22);
    assert!(returned.iter().all(|event| event.reason == "handed_back" && event.to_state() == TaskState::Ready));
    assert_eq!(returned.iter().filter(|event| event.counted).count(), 2);
    // A retry begins anew with both.
    setup.retry(&task.id).await?;
    let run = next_run(&mut worker).await?;
    assert_eq!((run.run, run.attempt), (24, 0));
    worker.hand_back(&run).await?;
    assert_eq!(next_run(&mut worker).await?.attempt, 0);
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn a_goodbye_gives_back_what_is_held_and_spends_nothing() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(5).await?;
    setup.create_all((0..5).map(|_| noop()).collect()).await?;
    let runs = worker.runs(5, SOON).await?;
    // One result is sent just before the goodbye: it is written first.
    worker.complete(&runs[0]).await?;
    worker.goodbye().await?;
    assert_eq!(setup.get(&runs[0].task_id).await?.state(), TaskState::Completed);
    let mut next = setup.worker_with(5).await?;
    for run in next.runs(4, SOON).await? {
        assert_eq!((run.run, run.attempt), (2, 0));
        let events = setup.events_until(&run.task_id, 3).await?;
        assert_eq!((events[2].r#type(), events[2].reason.as_str()), (EventType::Returned, "goodbye"));
    }
    drop(next);
    setup.close().await
}

#[tokio::test]
async fn a_worker_without_a_sign_of_life_loses_its_runs_and_each_an_attempt() -> Result<()> {
    let mut setup = Setup::open().await?;
    let pod = setup.stack.pod_with(&[("--session-timeout-s", "5")]).await?;
    std::mem::replace(&mut setup.pod, pod).stop().await?;
    setup.tasks = setup.pod.tasks().await?;
    let mut silent = setup.worker_with(2).await?;
    let last = setup.create(NewTask { retry: retry(1, 1), ..noop() }).await?;
    let task = setup.create(noop()).await?;
    let held = silent.runs(2, SOON).await?;
    // From here on nobody reads its stream, nor answers a ping.
    let mut other = setup.worker_with(2).await?;
    let run = next_run(&mut other).await?;
    assert_eq!((run.task_id.as_str(), run.run, run.attempt), (task.id.as_str(), 2, 1));
    let events = setup.events_until(&task.id, 3).await?;
    assert_eq!((events[2].reason.as_str(), events[2].counted), ("expired", true));
    let dead = setup.until(&last.id, TaskState::Dead).await?;
    assert_eq!(dead.attempt, 1);
    assert!(dead.error.contains("worker"), "{}", dead.error);
    // It comes back with what it held: both are others' now.
    let held = held.iter().map(|run| (run.task_id.clone(), run.run)).collect();
    let options = WorkerOptions { session: silent.session, held, slots: 0, ..WorkerOptions::default() };
    let mut back = setup.worker(options).await?;
    for _ in 0..2 {
        assert_eq!(next_stop(&mut back).await?.reason(), StopReason::NotYours);
    }
    drop((back, other));
    setup.close().await
}
