//! The end of a worker.

use std::time::Duration;

use taskyard_client::{
    v1::{self, Verdict, result::Outcome as Ended, work_request::Message, work_response},
    worker::{Context, Job, Outcome, StopReason},
};
use tokio::time::Instant;

use crate::fake::{FakePod, FakeStream, FakeWorker, assignment, builder, completed, failed, held, new_id, returned};

async fn handle(job: Job, context: Context) -> Outcome {
    match job.payload_as::<String>().unwrap().as_str() {
        "deaf" => std::future::pending().await,
        "polite" => {
            assert_eq!(context.stopped().await, StopReason::ShuttingDown);
            Outcome::Stopped
        }
        "early" => {
            context.shutting_down().await;
            Outcome::Returned
        }
        "blocking" => {
            #[allow(clippy::disallowed_methods, reason = "a handler that blocks its thread")]
            std::thread::sleep(Duration::from_secs(4));
            Outcome::Returned
        }
        other => {
            tokio::time::sleep(Duration::from_millis(other.parse().unwrap())).await;
            Outcome::completed(other)
        }
    }
}

/// Answers like a pod until the worker says goodbye; what became of each task.
async fn see_off(stream: &mut FakeStream) -> Vec<(String, Option<Ended>)> {
    let mut ends = Vec::new();
    loop {
        match stream.next().await {
            Message::Results(results) => {
                for result in results.results {
                    stream.acknowledge(&result.task_id, result.run, Verdict::Recorded).await;
                    ends.push((result.task_id, result.outcome));
                }
            }
            Message::Goodbye(_) => {
                ends.sort_by(|one, other| one.0.cmp(&other.0));
                return ends;
            }
            Message::Slots(slots) => assert_eq!(slots.slots, 0),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_says_goodbye_at_once() {
    let mut pod = FakePod::start();
    let worker = FakeWorker::start(builder(&[&pod]), handle);
    let mut stream = pod.welcome().await;
    stream.barrier().await;
    let began = Instant::now();
    worker.shutdown.cancel();
    assert_eq!(stream.next().await, Message::Slots(v1::Slots { slots: 0, bytes: 0 }));
    assert_eq!(stream.next().await, Message::Goodbye(v1::Goodbye {}));
    stream.send(work_response::Message::Farewell(v1::Farewell {})).await;
    worker.ended().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_is_finished_or_handed_back() {
    let mut pod = FakePod::start();
    let worker = FakeWorker::start(builder(&[&pod]), handle);
    let mut stream = pod.welcome().await;
    let ids: Vec<_> = (0..5).map(|_| new_id()).collect();
    let runs = ids.iter().zip(["\"500\"", "\"polite\"", "\"deaf\"", "\"early\""]);
    stream.assign(runs.map(|(id, payload)| assignment(id, 1, payload))).await;
    stream.barrier().await;
    let began = Instant::now();
    worker.shutdown.cancel();
    assert_eq!(stream.next().await, Message::Slots(v1::Slots { slots: 0, bytes: 0 }));
    stream.assign([assignment(&ids[4], 1, "\"0\"")]).await;
    let ends = see_off(&mut stream).await;
    stream.send(work_response::Message::Farewell(v1::Farewell {})).await;
    worker.ended().await.unwrap();
    let took = began.elapsed();
    assert!((Duration::from_millis(1_500)..Duration::from_secs(2)).contains(&took), "{took:?}");
    let expected = [completed("\"500\""), returned(), returned(), returned(), returned()];
    assert_eq!(ends, ids.into_iter().zip(expected).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_does_not_hold_the_end_up() {
    let mut pod = FakePod::start();
    let worker = FakeWorker::start(builder(&[&pod]), handle);
    let mut stream = pod.welcome().await;
    let id = new_id();
    stream.assign([assignment(&id, 1, "\"blocking\"")]).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    worker.shutdown.cancel();
    assert_eq!(see_off(&mut stream).await, [(id, returned())]);
    stream.send(work_response::Message::Farewell(v1::Farewell {})).await;
    worker.ended().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn goodbye_is_said_again_to_another_pod() {
    let (mut one, mut other) = (FakePod::start(), FakePod::start());
    let worker = FakeWorker::start(builder(&[&one, &other]).grace_period(Duration::from_secs(6)), handle);
    let mut streams = vec![];
    tokio::select! {
        stream = one.welcome() => streams.push(stream),
        stream = other.welcome() => streams.push(stream),
    }
    streams[0].barrier().await;
    worker.shutdown.cancel();
    assert!(see_off(&mut streams[0]).await.is_empty());
    // No farewell: the stream breaks.
    let session = streams[0].hello.session.clone();
    streams.clear();
    let mut second = tokio::select! { stream = one.welcome() => stream, stream = other.welcome() => stream };
    assert_eq!((&second.hello.session, second.hello.slots, held(&second)), (&session, 0, vec![]));
    assert!(see_off(&mut second).await.is_empty());
    // No farewell: the pod says nothing.
    let mut third = tokio::select! { stream = one.welcome() => stream, stream = other.welcome() => stream };
    assert!(see_off(&mut third).await.is_empty());
    third.send(work_response::Message::Farewell(v1::Farewell {})).await;
    worker.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_are_told_to_the_next_pod_during_the_shutdown() {
    let mut pod = FakePod::start();
    let worker = FakeWorker::start(builder(&[&pod]), handle);
    let mut stream = pod.welcome().await;
    let id = new_id();
    stream.assign([assignment(&id, 1, "\"300\"")]).await;
    stream.barrier().await;
    worker.shutdown.cancel();
    stream.next().await;
    drop(stream);
    let mut stream = pod.welcome().await;
    assert_eq!((stream.hello.slots, held(&stream)), (0, vec![(id.clone(), 1)]));
    assert_eq!(see_off(&mut stream).await, [(id, completed("\"300\""))]);
    stream.send(work_response::Message::Farewell(v1::Farewell {})).await;
    worker.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_pod_it_ends_within_the_grace_period() {
    let mut pod = FakePod::start();
    let worker = FakeWorker::start(builder(&[&pod]), handle);
    let mut stream = pod.welcome().await;
    stream.assign([assignment(&new_id(), 1, "\"deaf\"")]).await;
    stream.barrier().await;
    pod.kill();
    let began = Instant::now();
    worker.shutdown.cancel();
    worker.ended().await.unwrap();
    let took = began.elapsed();
    assert!((Duration::from_millis(1_900)..Duration::from_millis(2_300)).contains(&took), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_never_found_a_pod_ends_at_once() {
    let mut pod = FakePod::start();
    pod.kill();
    let worker = FakeWorker::start(builder(&[&pod]).grace_period(Duration::from_secs(60)), handle);
    tokio::time::sleep(Duration::from_millis(300)).await;
    worker.shutdown.cancel();
    // It cannot know whether a hello arrived; with nothing held it does not try for long.
    let began = Instant::now();
    worker.ended().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_during_the_shutdown_is_a_failure() {
    let mut pod = FakePod::start();
    let worker = FakeWorker::start(builder(&[&pod]), |_: Job, context: Context| async move {
        context.shutting_down().await;
        Outcome::failed("oh")
    });
    let mut stream = pod.welcome().await;
    let id = new_id();
    stream.assign([assignment(&id, 1, "1")]).await;
    stream.barrier().await;
    worker.shutdown.cancel();
    assert_eq!(see_off(&mut stream).await, [(id, failed("oh"))]);
    stream.send(work_response::Message::Farewell(v1::Farewell {})).await;
    worker.ended().await.unwrap();
}
