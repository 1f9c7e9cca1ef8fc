//! Started runs on their way to the workers: taken in from JetStream, read from the database, pushed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use taskyard_bus::Bus;
use taskyard_core::RetryPolicy;
use taskyard_proto::{
    convert::{duration_to_proto, timestamp_to_proto},
    internal::{StartedRun, Work},
    v1::Assignment,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Held, Session, session::Stage};
use crate::{
    app::App,
    fault::{self, FaultPoint},
    store::read::{self, RunDocument, RunKey},
};

/// Runs and bytes that one statement reads.
const READ_ROWS_MAX: usize = 500;
const READ_BYTES_MAX: u64 = 4 * 1_048_576;
/// Statements that read at once, so that a large payload does not hold up small ones.
const READS_MAX: usize = 3;

/// A run that was taken in.
struct Arrival {
    session: Arc<Session>,
    key: RunKey,
    payload_bytes: u64,
}

/// Takes in this pod's work until the stop.
pub async fn take_in(app: Arc<App>, stop: CancellationToken) -> anyhow::Result<()> {
    let (arrivals, receiver) = mpsc::channel(10_000);
    let reader = tokio::spawn(read_and_push(app.clone(), receiver));
    while !stop.is_cancelled() {
        if let Err(error) = consume(&app, &app.bus, &arrivals, &stop).await {
            tracing::debug!(%error, "no work stream yet");
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
            () = stop.cancelled() => {}
        }
    }
    drop(arrivals);
    reader.await?;
    Ok(())
}

async fn consume(
    app: &App,
    bus: &Bus,
    arrivals: &mpsc::Sender<Arrival>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut messages = bus.work_messages(&app.pod).await?;
    // Whoever leads may have published before this consumer was there, or not know of this pod.
    app.demand.complete();
    loop {
        let work = tokio::select! {
            work = messages.next() => work,
            () = stop.cancelled() => return Ok(()),
        };
        let Some(work) = work else { return Ok(()) };
        for arrival in hold_all(app, &work) {
            // Full only if the database is far behind; then taking in waits, and the leader with it.
            if arrivals.send(arrival).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Counts the runs as held, then the message as taken in: in this order, see [`super::demand`].
fn hold_all(app: &App, work: &Work) -> Vec<Arrival> {
    // From a leader that was replaced and did not know: the slots are the newer one's, which has given them away since.
    // What was started here goes back by the comparison.
    if app.demand.has_taken_in_newer(work.term) {
        return Vec::new();
    }
    let arrivals: Vec<Arrival> = work.runs.iter().filter_map(|run| hold(app, run)).collect();
    app.demand.taken_in(work.term, work.number);
    fault::reach(FaultPoint::WorkTakenIn);
    arrivals
}

fn hold(app: &App, run: &StartedRun) -> Option<Arrival> {
    let session = app.sessions.get(Uuid::from_slice(&run.session).ok()?)?;
    let id = Uuid::from_slice(&run.id).ok()?;
    // A run for an older connection of the session was sent back by the newer one's hello.
    if session.connection != run.connection {
        return None;
    }
    let held = Held {
        namespace: run.namespace,
        queue: String::new(),
        payload_bytes: run.payload_bytes.into(),
        attempt: 0,
        retry: RetryPolicy::default(),
        stage: Stage::Running,
    };
    let key = RunKey { namespace: run.namespace, id, run: run.run, session: session.id };
    session.hold((id, run.run), held).then_some(Arrival { session, key, payload_bytes: run.payload_bytes.into() })
}

async fn read_and_push(app: Arc<App>, mut receiver: mpsc::Receiver<Arrival>) {
    let reads = Arc::new(Semaphore::new(READS_MAX));
    let mut next = None;
    loop {
        let Some(first) = (match next.take() {
            Some(arrival) => Some(arrival),
            None => receiver.recv().await,
        }) else {
            return;
        };
        let Ok(permit) = reads.clone().acquire_owned().await else { return };
        let mut bytes = first.payload_bytes;
        let mut batch = vec![first];
        while batch.len() < READ_ROWS_MAX
            && let Ok(arrival) = receiver.try_recv()
        {
            if bytes + arrival.payload_bytes > READ_BYTES_MAX {
                next = Some(arrival);
                break;
            }
            bytes += arrival.payload_bytes;
            batch.push(arrival);
        }
        let app = app.clone();
        tokio::spawn(async move {
            read_batch(&app, batch).await;
            drop(permit);
        });
    }
}

async fn read_batch(app: &App, batch: Vec<Arrival>) {
    let keys: Vec<RunKey> = batch.iter().map(|arrival| arrival.key).collect();
    let documents = loop {
        match read::run_document_list(&app.pool, &keys).await {
            Ok(documents) => break documents,
            Err(error) => {
                tracing::warn!(%error, runs = keys.len(), "payloads could not be read yet");
                if batch.iter().all(|arrival| arrival.session.is_closed()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    };
    fault::reach(FaultPoint::PayloadRead);
    let mut documents: HashMap<RunKey, RunDocument> =
        documents.into_iter().map(|document| (document.key, document)).collect();
    let mut by_session: HashMap<Uuid, (Arc<Session>, Vec<Assignment>)> = HashMap::new();
    for arrival in batch {
        let run = (arrival.key.id, arrival.key.run);
        match documents.remove(&arrival.key) {
            Some(document) => {
                let is_held = arrival.session.update(run, |held| {
                    held.queue.clone_from(&document.queue);
                    held.attempt = document.attempt.cast_unsigned();
                    held.retry = document.retry;
                });
                if is_held {
                    let (_, runs) =
                        by_session.entry(arrival.session.id).or_insert_with(|| (arrival.session.clone(), Vec::new()));
                    runs.push(assignment(document));
                }
            }
            // It is not that run of that session any more.
            None => {
                arrival.session.release(run);
                app.demand.changed(&arrival.session);
            }
        }
    }
    for (session, runs) in by_session.into_values() {
        app.metrics.pushed(runs.len());
        session.outbox.assign(runs);
    }
    fault::reach(FaultPoint::RunPushed);
}

fn assignment(document: RunDocument) -> Assignment {
    Assignment {
        task_id: document.key.id.to_string(),
        run: document.key.run.cast_unsigned(),
        namespace: document.namespace_name,
        queue: document.queue,
        kind: document.kind,
        title: document.title,
        labels: document.labels,
        attempt: u32::from(document.attempt.cast_unsigned()),
        attempts_max: u32::from(document.retry.attempts_max),
        timeout: Some(duration_to_proto(Duration::from_millis(u64::try_from(document.timeout_ms).unwrap_or(0)))),
        create_time: Some(timestamp_to_proto(document.created_at)),
        payload: document.payload.into(),
        chunked_bytes: 0,
    }
}
