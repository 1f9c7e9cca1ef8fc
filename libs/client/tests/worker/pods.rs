//! Pods that are silent, drain, refuse or are not there.

use std::time::Duration;

use taskyard_client::{
    ErrorCode,
    v1::{self, Verdict, work_response::Message},
    worker::{Job, Outcome},
};
use tokio::time::Instant;
use tonic::Status;

use crate::fake::{FakePod, FakeStream, FakeWorker, assignment, builder, completed, held, new_id};

async fn handle(job: Job, _: taskyard_client::worker::Context) -> Outcome {
    tokio::time::sleep(Duration::from_millis(job.payload_as::<u64>().unwrap())).await;
    Outcome::Completed(job.payload)
}

/// The pod of the two to which the worker came, its stream, and the other pod.
async fn first_of(mut one: FakePod, mut other: FakePod) -> (FakePod, FakeStream, FakePod) {
    let chosen = tokio::select! {
        stream = one.hello() => Ok(stream),
        stream = other.hello() => Err(stream),
    };
    match chosen {
        Ok(stream) => (one, stream, other),
        Err(stream) => (other, stream, one),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_stream_is_left_for_another_pod() {
    let (one, other) = (FakePod::start(), FakePod::start());
    let _worker = FakeWorker::start(builder(&[&one, &other]), handle);
    let (_one, mut stream, mut other) = first_of(one, other).await;
    stream.send_welcome(Duration::from_millis(400)).await;
    let id = new_id();
    stream.assign([assignment(&id, 1, "60000")]).await;
    // Life signs keep it.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.barrier().await;
    }
    let silent_since = Instant::now();
    let next = other.welcome().await;
    let waited = silent_since.elapsed();
    assert!((Duration::from_millis(350)..Duration::from_millis(1_200)).contains(&waited), "{waited:?}");
    assert_eq!(held(&next), [(id, 1)]);
    assert_eq!(stream.next_or_end().await, None, "the silent stream is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_moves_the_worker_without_touching_what_runs() {
    let (one, other) = (FakePod::start(), FakePod::start());
    let _worker = FakeWorker::start(builder(&[&one, &other]), handle);
    let (mut one, mut old, mut other) = first_of(one, other).await;
    old.send_welcome(Duration::from_secs(60)).await;
    let ids = [new_id(), new_id(), new_id()];
    old.assign([assignment(&ids[0], 1, "300"), assignment(&ids[1], 1, "0")]).await;
    assert_eq!(old.result().await.task_id, ids[1]);
    old.send(Message::Drain(v1::Drain {})).await;
    old.assign([assignment(&ids[2], 1, "0")]).await;

    let mut new = other.hello().await;
    assert_eq!(held(&new), [(ids[0].clone(), 1), (ids[1].clone(), 1)], "all but what came after the drain");
    assert_eq!(old.barrier().await, [], "the old stream stays open until the new one stands");
    new.send_welcome(Duration::from_secs(60)).await;
    let again = new.result().await;
    assert_eq!((&again.task_id, again.outcome), (&ids[1], completed("0")), "sent again");
    new.acknowledge(&ids[1], 1, Verdict::Recorded).await;
    assert_eq!(old.next_or_end().await, None, "then it is closed");
    let result = new.result().await;
    assert_eq!((&result.task_id, result.outcome), (&ids[0], completed("300")));
    one.hears_nothing(Duration::from_millis(100)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_on_a_draining_stream_counts() {
    let (one, other) = (FakePod::start(), FakePod::start());
    let _worker = FakeWorker::start(builder(&[&one, &other]), handle);
    let (_one, mut old, mut other) = first_of(one, other).await;
    old.send_welcome(Duration::from_secs(60)).await;
    let id = new_id();
    old.assign([assignment(&id, 1, "0")]).await;
    old.result().await;
    old.send(Message::Drain(v1::Drain {})).await;
    let mut new = other.hello().await;
    old.acknowledge(&id, 1, Verdict::Recorded).await;
    old.barrier().await;
    new.send_welcome(Duration::from_secs(60)).await;
    assert_eq!(new.barrier().await, [], "nothing is left to report");
    // The new pod was told of it, finds no row, and says so.
    new.stop(&id, 1, v1::StopReason::NotYours).await;
    assert_eq!(new.result().await.outcome, crate::fake::stopped());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_drains_alone_is_taken_again() {
    let mut pod = FakePod::start();
    let _worker = FakeWorker::start(builder(&[&pod]), handle);
    let old = pod.welcome().await;
    old.send(Message::Drain(v1::Drain {})).await;
    let mut new = pod.welcome().await;
    new.assign([assignment(&new_id(), 1, "0")]).await;
    assert_eq!(new.result().await.outcome, completed("0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_ends_the_worker_with_its_reason() {
    for (status, code) in [
        (Status::unauthenticated("the key is revoked"), ErrorCode::Unauthenticated),
        (Status::permission_denied("the key is revoked"), ErrorCode::Forbidden),
        (Status::invalid_argument("the key is revoked"), ErrorCode::InvalidInput),
    ] {
        let pod = FakePod::refusing(status);
        let worker = FakeWorker::start(builder(&[&pod]), handle);
        let error = worker.ended().await.expect_err("refused");
        assert_eq!((error.code, error.message.as_str()), (code, "the key is revoked"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_cannot_serve_is_asked_again_and_others_too() {
    let unavailable = FakePod::refusing(Status::unavailable("no database"));
    let internal = FakePod::refusing(Status::internal("oh"));
    let mut good = FakePod::start();
    let _worker = FakeWorker::start(builder(&[&unavailable, &internal, &good]), handle);
    let mut stream = good.welcome().await;
    stream.assign([assignment(&new_id(), 1, "0")]).await;
    assert_eq!(stream.result().await.outcome, completed("0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_without_a_word_does_not_hold_the_worker() {
    // It takes connections and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut good = FakePod::start();
    let pods = taskyard_client::Pods::connect([url, good.url()], taskyard_client::Token::none()).unwrap();
    let builder = taskyard_client::worker::Worker::builder(pods).kinds(["test"]);
    let _worker = FakeWorker::start(builder, handle);
    // It may have been asked first, and is given some seconds to answer.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let stream = good.hello().await;
    assert!(stream.hello.held.is_empty());
}
