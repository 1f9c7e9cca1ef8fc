//! Large payloads and results go in chunks, and hold nothing else up.

use std::time::Duration;

use bytes::Bytes;
use taskyard_client::{
    v1::{self, result::Outcome as Ended, work_request::Message, work_response},
    worker::{Job, Outcome},
};

use crate::fake::{FakePod, FakeStream, FakeWorker, assignment, builder, completed, failed, new_id};

const CHUNK_BYTES_MAX: usize = 65_536;

fn text(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

async fn assign_in_chunks(stream: &FakeStream, id: &str, payload: &str, chunk_bytes: usize) {
    for data in payload.as_bytes().chunks(chunk_bytes) {
        let chunk = v1::Chunk { task_id: id.to_owned(), run: 1, data: Bytes::copy_from_slice(data) };
        stream.send(work_response::Message::Chunk(chunk)).await;
    }
    let mut last = assignment(id, 1, "");
    last.chunked_bytes = payload.len() as u64;
    stream.assign([last]).await;
}

/// The whole result of a run, put together, and how many chunks it took.
async fn whole_result(stream: &mut FakeStream) -> (Vec<u8>, usize) {
    let (mut whole, mut chunks) = (Vec::new(), 0);
    loop {
        match stream.next().await {
            Message::Chunk(chunk) => {
                assert!(chunk.data.len() <= CHUNK_BYTES_MAX);
                whole.extend_from_slice(&chunk.data);
                chunks += 1;
            }
            Message::Results(results) => {
                let Some(Ended::Completed(done)) = &results.results[0].outcome else { panic!("{results:?}") };
                assert!(done.chunked_bytes == 0 || done.result.is_empty());
                assert_eq!(done.chunked_bytes as usize, whole.len());
                whole.extend_from_slice(&done.result);
                return (whole, chunks);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_ones_travel_whole_in_both_directions() {
    let mut pod = FakePod::start();
    let _worker = FakeWorker::start(builder(&[&pod]), |job: Job, _| async { Outcome::Completed(job.payload) });
    let mut stream = pod.welcome().await;
    for (bytes, chunk_bytes, chunks) in
        [(CHUNK_BYTES_MAX, 1_000, 0), (CHUNK_BYTES_MAX + 1, 65_536, 2), (1 << 20, 65_536, 16), (300_000, 7_777, 5)]
    {
        let payload = text(bytes);
        assign_in_chunks(&stream, &new_id(), &payload, chunk_bytes).await;
        let (result, count) = whole_result(&mut stream).await;
        assert!(result == payload.as_bytes());
        assert_eq!(count, chunks);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_of_a_cut_stream_are_dropped() {
    let mut pod = FakePod::start();
    let _worker = FakeWorker::start(builder(&[&pod]), |job: Job, _| async { Outcome::Completed(job.payload) });
    let id = new_id();
    let mut stream = pod.welcome().await;
    let chunk = v1::Chunk { task_id: id.clone(), run: 1, data: Bytes::from_static(b"[1,") };
    stream.send(work_response::Message::Chunk(chunk)).await;
    stream.barrier().await;
    drop(stream);
    let mut stream = pod.welcome().await;
    assert!(stream.hello.held.is_empty(), "a run without its assignment is not held");
    assign_in_chunks(&stream, &id, "[1,2]", 2).await;
    assert_eq!(stream.result().await.outcome, completed("[1,2]"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_result_delays_neither_pong_nor_small_results() {
    let mut pod = FakePod::start();
    let _worker = FakeWorker::start(builder(&[&pod]), |job: Job, _| async {
        let large = job.payload == "0";
        Outcome::Completed(if large { text(1 << 20).into() } else { job.payload })
    });
    let mut stream = pod.welcome().await;
    stream.assign([assignment(&new_id(), 1, "0")]).await;
    // The pod does not read: the worker has to wait in the middle of the result.
    tokio::time::sleep(Duration::from_millis(300)).await;
    stream.send(work_response::Message::Ping(v1::Ping {})).await;
    stream.assign([assignment(&new_id(), 1, "1")]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;

    let mut seen = Vec::new();
    while seen.last() != Some(&"large") {
        seen.push(match stream.next().await {
            Message::Chunk(_) => "chunk",
            Message::Pong(_) => "pong",
            Message::Results(results) => match &results.results[0].outcome {
                Some(Ended::Completed(done)) if done.chunked_bytes > 0 => "large",
                _ => "small",
            },
            other => panic!("{other:?}"),
        });
    }
    let place = |what| seen.iter().position(|seen| *seen == what).unwrap();
    assert!(place("pong") < 12 && place("small") < 12, "{seen:?}");
    assert_eq!(seen.iter().filter(|seen| **seen == "chunk").count(), 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_result_begins_anew_on_the_next_stream() {
    let mut pod = FakePod::start();
    let _worker = FakeWorker::start(builder(&[&pod]), |_: Job, _| async { Outcome::Completed(text(1 << 20).into()) });
    let mut stream = pod.welcome().await;
    stream.assign([assignment(&new_id(), 1, "0")]).await;
    for _ in 0..3 {
        assert!(matches!(stream.next().await, Message::Chunk(_)));
    }
    drop(stream);
    let mut stream = pod.welcome().await;
    let (result, chunks) = whole_result(&mut stream).await;
    assert_eq!((result.len(), chunks), (1 << 20, 16));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_above_the_limit_is_a_failure() {
    let mut pod = FakePod::start();
    let _worker =
        FakeWorker::start(builder(&[&pod]), |_: Job, _| async { Outcome::Completed(text((1 << 20) + 1).into()) });
    let mut stream = pod.welcome().await;
    stream.assign([assignment(&new_id(), 1, "0")]).await;
    let outcome = stream.result().await.outcome;
    assert_eq!(outcome, failed("the result has 1048577 bytes; at most 1048576 are allowed"));
}
