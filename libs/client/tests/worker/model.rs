//! Random lives of a worker: whatever order assignments, results, acknowledgements, cuts and drains come in, each run
//! is done once, told until acknowledged, and each hello names exactly what is held.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use proptest::prelude::*;
use taskyard_client::{
    v1::{self, Verdict, work_request::Message, work_response},
    worker::{Job, Outcome},
};

use crate::fake::{FakePod, FakeStream, FakeWorker, assignment, builder, held, new_id};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Assigns runs that take this many milliseconds.
    Assign(usize, u64),
    /// Acknowledges up to so many of the results that came.
    Acknowledge(usize),
    /// Cuts the stream, after the worker has read everything.
    Cut,
    /// Cuts the stream at once.
    CutBlindly,
    /// Sends the worker to another pod.
    Drain,
    /// Reads what the worker says.
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1usize..8, 0u64..40).prop_map(|(count, ms)| Step::Assign(count, ms)),
        3 => (1usize..8).prop_map(Step::Acknowledge),
        1 => Just(Step::Cut),
        1 => Just(Step::CutBlindly),
        1 => Just(Step::Drain),
        3 => Just(Step::Read),
    ]
}

/// What the pod knows of one run.
#[derive(Debug, Default)]
struct Run {
    /// The worker has surely read the assignment.
    read: bool,
    /// A result came on the present stream.
    reported: bool,
    /// An acknowledgement was sent; the worker has surely read it.
    acknowledged: bool,
    acknowledged_read: bool,
}

struct Model {
    pod: FakePod,
    stream: FakeStream,
    runs: BTreeMap<String, Run>,
}

impl Model {
    fn take(&mut self, message: Message) {
        let Message::Results(results) = message else { return };
        for result in results.results {
            let run = self.runs.get_mut(&result.task_id).expect("a result of a run that was assigned");
            assert!(!run.acknowledged_read, "a result after its acknowledgement was read");
            assert!(!run.reported, "a result twice on one stream");
            run.reported = true;
            run.read = true;
        }
    }

    async fn settle(&mut self) {
        for message in self.stream.barrier().await {
            self.take(message);
        }
        for run in self.runs.values_mut() {
            run.read = true;
            run.acknowledged_read = run.acknowledged;
        }
    }

    async fn next_stream(&mut self, surely_read: bool) {
        let stream = self.pod.welcome().await;
        let named: BTreeSet<_> = held(&stream).into_iter().map(|(task_id, _)| task_id).collect();
        let at_least = |run: &Run| run.read && !run.acknowledged;
        let at_most = |run: &Run| !run.acknowledged_read;
        for (task_id, run) in &self.runs {
            let is_named = named.contains(task_id);
            assert!(!at_least(run) || is_named, "{task_id} is held: {run:?}");
            assert!(at_most(run) || !is_named, "{task_id} is not held: {run:?}");
            assert!(!surely_read || is_named == at_least(run), "{task_id}: {run:?}");
        }
        // What is not named goes back to the queue: for this pod it never was.
        self.runs.retain(|task_id, _| named.contains(task_id));
        for run in self.runs.values_mut() {
            *run = Run { read: true, ..Run::default() };
        }
        self.stream = stream;
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Assign(count, ms) => {
                let ids: Vec<_> = (0..count).map(|_| new_id()).collect();
                self.stream.assign(ids.iter().map(|id| assignment(id, 1, &ms.to_string()))).await;
                self.runs.extend(ids.into_iter().map(|id| (id, Run::default())));
            }
            Step::Acknowledge(count) => {
                let reported = self.runs.iter_mut().filter(|(_, run)| run.reported && !run.acknowledged);
                for (task_id, run) in reported.take(count) {
                    run.acknowledged = true;
                    self.stream.acknowledge(task_id, 1, Verdict::Recorded).await;
                }
            }
            Step::Cut => {
                self.settle().await;
                self.cut().await;
                self.next_stream(true).await;
            }
            Step::CutBlindly => {
                self.cut().await;
                self.next_stream(false).await;
            }
            Step::Drain => {
                self.settle().await;
                self.stream.send(work_response::Message::Drain(v1::Drain {})).await;
                self.next_stream(true).await;
            }
            Step::Read => self.settle().await,
        }
    }

    async fn cut(&mut self) {
        self.stream.fail(tonic::Status::unavailable("cut")).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_loses_or_doubles_a_run(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut pod = FakePod::start();
            let begun = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&begun);
            let worker = FakeWorker::start(builder(&[&pod]).slots(10_000), move |job: Job, _| {
                counter.fetch_add(1, Ordering::Relaxed);
                async move {
                    tokio::time::sleep(std::time::Duration::from_millis(job.payload_as().unwrap())).await;
                    Outcome::Completed(job.payload)
                }
            });
            let stream = pod.welcome().await;
            let mut model = Model { pod, stream, runs: BTreeMap::new() };
            let mut assigned = 0;
            for step in steps {
                if let Step::Assign(count, _) = step {
                    assigned += count;
                }
                model.step(step).await;
            }
            model.settle().await;
            // In the end everything is told and acknowledged, and the session closed.
            worker.shutdown.cancel();
            loop {
                match model.stream.next().await {
                    Message::Goodbye(_) => break,
                    message => model.take(message),
                }
                for (task_id, run) in &mut model.runs {
                    if run.reported && !std::mem::replace(&mut run.acknowledged, true) {
                        model.stream.acknowledge(task_id, 1, Verdict::Recorded).await;
                    }
                }
            }
            let open: Vec<_> = model.runs.iter().filter(|(_, run)| !run.acknowledged).collect();
            assert!(open.is_empty(), "goodbye with open runs {open:?}");
            model.stream.send(work_response::Message::Farewell(v1::Farewell {})).await;
            worker.ended().await.unwrap();
            assert!(begun.load(Ordering::Relaxed) <= assigned, "no run is done twice");
        });
    }
}
