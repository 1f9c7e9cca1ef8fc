//! Runs that the pod stops.

use std::time::Duration;

use taskyard_client::{
    v1::{StopReason as Reason, Verdict},
    worker::{Context, Job, Outcome},
};
use tokio::sync::mpsc;

use crate::fake::{FakePod, FakeWorker, assignment, builder, new_id, stopped};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_hears_the_reason_and_its_end_is_told() {
    let mut pod = FakePod::start();
    let (reasons, mut heard) = mpsc::unbounded_channel();
    let _worker = FakeWorker::start(builder(&[&pod]), move |_: Job, context: Context| {
        let reasons = reasons.clone();
        async move {
            let reason = context.stopped().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            reasons.send(format!("{reason:?}")).unwrap();
            Outcome::completed("too late")
        }
    });
    let mut stream = pod.welcome().await;
    for (reason, expected) in [
        (Reason::Canceled, "Canceled"),
        (Reason::TimedOut, "TimedOut"),
        (Reason::NotYours, "NotYours"),
        (Reason::Unspecified, "NotYours"),
    ] {
        let id = new_id();
        stream.assign([assignment(&id, 1, "1")]).await;
        stream.stop(&id, 1, reason).await;
        let result = stream.result().await;
        assert_eq!((result.task_id, result.outcome), (id.clone(), stopped()));
        assert_eq!(heard.try_recv().expect("the handler ended before its slot is free"), expected);
        stream.acknowledge(&id, 1, Verdict::Refused).await;
    }
    stream.barrier().await;
    drop(stream);
    assert!(pod.welcome().await.hello.held.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_does_not_listen_is_aborted() {
    struct Bomb(mpsc::UnboundedSender<()>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let mut pod = FakePod::start();
    let (dropped, mut heard) = mpsc::unbounded_channel();
    let _worker = FakeWorker::start(builder(&[&pod]), move |_: Job, _| {
        let bomb = Bomb(dropped.clone());
        async move {
            std::future::pending::<()>().await;
            drop(bomb);
            Outcome::Returned
        }
    });
    let mut stream = pod.welcome().await;
    let id = new_id();
    stream.assign([assignment(&id, 1, "1")]).await;
    stream.stop(&id, 1, Reason::Canceled).await;
    let began = tokio::time::Instant::now();
    assert_eq!(stream.result().await.outcome, stopped());
    assert!((150..1_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    heard.try_recv().expect("the handler has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_a_run_that_is_not_held_is_answered_so_that_its_slot_is_free() {
    let mut pod = FakePod::start();
    let _worker = FakeWorker::start(builder(&[&pod]), |_: Job, _| async { Outcome::Returned });
    let mut stream = pod.welcome().await;
    let id = new_id();
    stream.stop(&id, 5, Reason::NotYours).await;
    let result = stream.result().await;
    assert_eq!((result.task_id.clone(), result.run, result.outcome), (id.clone(), 5, stopped()));
    stream.acknowledge(&id, 5, Verdict::Refused).await;
    assert_eq!(stream.barrier().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_run_that_is_stopped_waits_for_its_acknowledgement() {
    let mut pod = FakePod::start();
    let _worker = FakeWorker::start(builder(&[&pod]), |_: Job, _| async { Outcome::Returned });
    let mut stream = pod.welcome().await;
    let id = new_id();
    stream.assign([assignment(&id, 1, "1")]).await;
    stream.result().await;
    stream.stop(&id, 1, Reason::NotYours).await;
    assert_eq!(stream.barrier().await, [], "the result is its answer");
    drop(stream);
    let mut stream = pod.welcome().await;
    assert_eq!(stream.hello.held.len(), 1);
    stream.result().await;
    stream.acknowledge(&id, 1, Verdict::Refused).await;
    stream.barrier().await;
    drop(stream);
    assert!(pod.welcome().await.hello.held.is_empty());
}
