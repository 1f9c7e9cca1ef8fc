//! The stream is cut at every point of the protocol.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use taskyard_client::{
    v1::{Verdict, work_request::Message},
    worker::{Context, Job, Outcome},
};
use tokio::sync::Semaphore;
use tonic::Status;

use crate::fake::{FakePod, FakeStream, FakeWorker, assignment, builder, completed, held, new_id};

/// How the stream ends.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// The pod ends it.
    Closed,
    /// The pod fails it.
    Failed,
    /// The pod's process dies; another one takes its place at the same address.
    Died,
}

const CUTS: [Cut; 3] = [Cut::Closed, Cut::Failed, Cut::Died];

async fn cut(pod: &mut FakePod, stream: FakeStream, how: Cut) {
    match how {
        Cut::Closed => drop(stream),
        Cut::Failed => stream.fail(Status::internal("oh")).await,
        Cut::Died => {
            pod.kill();
            let address = pod.address.to_string();
            // The runtime of the old one closes its listener in the background.
            while std::net::TcpListener::bind(&address).is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            *pod = FakePod::start_with(None, &address);
        }
    }
}

/// Completes with the payload as soon as the test allows one.
fn gated(gate: &Arc<Semaphore>) -> impl taskyard_client::worker::Handler + use<> {
    let gate = Arc::clone(gate);
    move |job: Job, _: Context| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            Outcome::Completed(job.payload)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_hello() {
    for how in CUTS {
        let mut pod = FakePod::start();
        let worker = FakeWorker::start(builder(&[&pod]), |job: Job, _| async { Outcome::Completed(job.payload) });
        let first = pod.hello().await;
        assert_eq!(first.authorization.as_deref(), Some("Bearer secret"));
        assert_eq!((first.hello.slots, first.hello.kinds.as_slice()), (100, &["test".to_owned()][..]));
        let session = first.hello.session.clone();
        cut(&mut pod, first, how).await;

        let mut second = pod.welcome().await;
        assert_eq!(second.hello.session, session, "{how:?}");
        assert_eq!(held(&second), []);
        let id = new_id();
        second.assign([assignment(&id, 1, "1")]).await;
        assert_eq!(second.result().await.outcome, completed("1"));
        drop(worker);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_assignment_was_read() {
    for how in CUTS {
        let mut pod = FakePod::start();
        let gate = Arc::new(Semaphore::new(0));
        let _worker = FakeWorker::start(builder(&[&pod]), gated(&gate));
        let mut stream = pod.welcome().await;
        let id = new_id();
        stream.assign([assignment(&id, 3, "[7]")]).await;
        stream.barrier().await;
        cut(&mut pod, stream, how).await;

        let mut stream = pod.welcome().await;
        assert_eq!(held(&stream), [(id.clone(), 3)], "it runs on: {how:?}");
        assert_eq!(stream.barrier().await, [], "nothing to report yet");
        gate.add_permits(1);
        let result = stream.result().await;
        assert_eq!((result.task_id, result.run, result.outcome), (id, 3, completed("[7]")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_result_is_acknowledged_it_is_sent_again_and_again() {
    for how in CUTS {
        let mut pod = FakePod::start();
        let _worker = FakeWorker::start(builder(&[&pod]), |job: Job, _| async { Outcome::Completed(job.payload) });
        let mut stream = pod.welcome().await;
        let id = new_id();
        stream.assign([assignment(&id, 1, "1")]).await;
        for _ in 0..3 {
            assert_eq!(stream.result().await.outcome, completed("1"));
            assert_eq!(stream.barrier().await, [], "once on one stream");
            cut(&mut pod, stream, how).await;
            stream = pod.welcome().await;
            assert_eq!(held(&stream), [(id.clone(), 1)], "{how:?}");
        }
        assert_eq!(stream.result().await.outcome, completed("1"));
        stream.acknowledge(&id, 1, Verdict::Recorded).await;
        stream.barrier().await;
        cut(&mut pod, stream, how).await;

        let mut stream = pod.welcome().await;
        assert_eq!(held(&stream), [], "forgotten after the acknowledgement: {how:?}");
        assert_eq!(stream.barrier().await, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_there_is_no_pod_the_work_goes_on() {
    let mut pod = FakePod::start();
    let gate = Arc::new(Semaphore::new(0));
    let _worker = FakeWorker::start(builder(&[&pod]), gated(&gate));
    let mut stream = pod.welcome().await;
    let ids = [new_id(), new_id()];
    stream.assign(ids.iter().map(|id| assignment(id, 1, "1"))).await;
    stream.barrier().await;
    let address = pod.address.to_string();
    pod.kill();
    gate.add_permits(2);
    tokio::time::sleep(Duration::from_millis(700)).await;

    let mut pod = FakePod::start_with(None, &address);
    let mut stream = pod.welcome().await;
    assert_eq!(held(&stream), ids.clone().map(|id| (id, 1)));
    let results = stream.results(2).await;
    assert!(results.iter().all(|result| result.outcome == completed("1")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_pushed_twice_is_done_once() {
    let mut pod = FakePod::start();
    let begun = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&begun);
    let _worker = FakeWorker::start(builder(&[&pod]), move |job: Job, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        async { Outcome::Completed(job.payload) }
    });
    let mut stream = pod.welcome().await;
    let id = new_id();
    stream.assign([assignment(&id, 1, "1"), assignment(&id, 1, "1"), assignment(&id, 2, "2")]).await;
    let results = stream.results(2).await;
    assert_eq!(results.iter().map(|result| result.run).sum::<u32>(), 3);
    assert_eq!(stream.barrier().await, []);
    assert_eq!(begun.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_breaks_the_protocol_is_left() {
    let mut pod = FakePod::start();
    let _worker = FakeWorker::start(builder(&[&pod]), |job: Job, _| async { Outcome::Completed(job.payload) });
    for _ in 0..2 {
        let mut stream = pod.welcome().await;
        let mut bad = assignment("no id", 1, "1");
        stream.assign([bad.clone()]).await;
        assert_eq!(stream.next_or_end().await, None);
        let mut stream = pod.welcome().await;
        bad.task_id = new_id();
        bad.chunked_bytes = 5;
        stream.assign([bad]).await;
        assert_eq!(stream.next_or_end().await, None);
    }
    let mut stream = pod.welcome().await;
    assert!(stream.barrier().await.iter().all(|message| matches!(message, Message::Pong(_))));
}
