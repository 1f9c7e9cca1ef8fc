//! One worker's stream, from hello to its end.

use std::{collections::HashMap, sync::Arc, time::Duration};

use taskyard_core::{Error, ErrorCode, Identity, Result, limits};
use taskyard_postgres::failure;
use taskyard_proto::{
    status::to_status,
    v1::{
        Chunk, Drain, Farewell, Hello, Ping, ProgressReports, Results, WorkRequest, result::Outcome as Reported,
        work_request::Message as Incoming, work_response::Message,
    },
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use uuid::Uuid;

use super::{
    RunId, Session, hello,
    outbox::Outbox,
    results::{self, Complete},
};
use crate::{
    app::App,
    fault::{self, FaultPoint},
    store::{
        returns::{self, Reason, Return},
        sessions,
    },
};

/// How long a stream may wait with its hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages of results that are written at once; then reading waits.
const WRITES_MAX: usize = 64;

/// Serves a stream until the worker leaves, is gone, or this process stops.
pub async fn serve(
    app: Arc<App>,
    caller: Arc<Identity>,
    mut incoming: Streaming<WorkRequest>,
    outbox: Outbox,
    stop: CancellationToken,
) {
    let hello = match first_message(&mut incoming).await {
        Ok(hello) => hello,
        Err(error) => return outbox.fail(to_status(error)),
    };
    if stop.is_cancelled() {
        return outbox.fail(to_status(Error::unavailable("this pod is about to stop; say hello to another")));
    }
    // The outbox goes into the session; a refusal needs a way out that stays here.
    let (session_outbox, refusal) = outbox.split();
    let session = match hello::open(&app, &caller, hello, session_outbox).await {
        Ok(session) => session,
        Err(error) => return refusal.fail(to_status(error)),
    };
    drop(refusal);
    tracing::info!(session = %session.id, connection = session.connection, "a worker has come");
    Stream { app: app.clone(), session: session.clone(), chunks: Chunks::default(), writes: JoinSet::new() }
        .run(incoming, stop)
        .await;
    session.close();
    app.sessions.remove(&session);
    app.demand.complete();
    tracing::info!(session = %session.id, connection = session.connection, "a worker's stream has ended");
}

async fn first_message(incoming: &mut Streaming<WorkRequest>) -> Result<Hello> {
    let wrong = |message: &str| Error::invalid("hello", message);
    let first = tokio::time::timeout(HELLO_TIMEOUT, incoming.message())
        .await
        .map_err(|_| Error::unavailable("the hello did not come within 10 s"))?
        .map_err(|status| Error::unavailable(status.message()))?;
    match first.and_then(|request| request.message) {
        Some(Incoming::Hello(hello)) => Ok(hello),
        _ => Err(wrong("must be the first message of a stream")),
    }
}

struct Stream {
    app: Arc<App>,
    session: Arc<Session>,
    chunks: Chunks,
    writes: JoinSet<()>,
}

impl Stream {
    async fn run(mut self, mut incoming: Streaming<WorkRequest>, stop: CancellationToken) {
        let timings = self.app.timings();
        let mut ping = tokio::time::interval(timings.ping_interval);
        ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let session = self.session.clone();
        let mut is_told_to_leave = false;
        loop {
            tokio::select! {
                message = incoming.message(), if self.writes.len() < WRITES_MAX => match message {
                    Ok(Some(WorkRequest { message: Some(message) })) => {
                        session.sign_of_life();
                        if !self.handle(message).await {
                            return;
                        }
                    }
                    // A message of a newer client.
                    Ok(Some(_)) => session.sign_of_life(),
                    Ok(None) | Err(_) => return,
                },
                Some(_) = self.writes.join_next() => {}
                _ = ping.tick() => {
                    let silent = session.silence() > timings.session_timeout;
                    if silent || !session.outbox.control(Message::Ping(Ping {})) {
                        tracing::info!(session = %session.id, silent, "a worker does not answer");
                        return;
                    }
                }
                () = session.closed() => return,
                () = stop.cancelled(), if !is_told_to_leave => {
                    is_told_to_leave = true;
                    if session.drain() {
                        session.outbox.control(Message::Drain(Drain {}));
                        fault::reach(FaultPoint::DrainPushed);
                        self.app.demand.changed(&session);
                    }
                }
            }
        }
    }

    /// Handles a message. False: the stream ends.
    async fn handle(&mut self, message: Incoming) -> bool {
        let session = &self.session;
        match message {
            Incoming::Hello(_) => {
                session.outbox.fail(to_status(Error::invalid("hello", "can be said once on a stream")));
                return false;
            }
            Incoming::Results(Results { results }) => {
                let complete = results.into_iter().map(|result| self.chunks.complete(result)).collect();
                self.writes.spawn(results::record(self.app.clone(), session.clone(), complete));
            }
            Incoming::Chunk(chunk) => {
                if let Err(error) = self.chunks.add(chunk) {
                    session.outbox.fail(to_status(error));
                    return false;
                }
            }
            Incoming::Progress(ProgressReports { reports }) => {
                for report in reports {
                    let (Ok(id), Some(progress)) = (Uuid::try_parse(&report.task_id), report.progress) else {
                        continue;
                    };
                    if let Some(held) = session.held((id, report.run.cast_signed())) {
                        self.app.progress.report(held.namespace, id, report.run.cast_signed(), progress);
                    }
                }
            }
            Incoming::Slots(slots) => {
                let bytes_max = if slots.bytes == 0 { limits::WORKER_BYTES_DEFAULT } else { slots.bytes };
                session.set_credit(slots.slots.min(limits::SLOTS_MAX), bytes_max);
                self.app.demand.changed(session);
                let shown = i32::try_from(slots.slots).unwrap_or(i32::MAX);
                if let Err(error) = sessions::session_set_slots(&self.app.pool, session.connection(), shown).await {
                    tracing::debug!(%error, "a worker's slots are not shown");
                }
            }
            Incoming::Pong(_) => {}
            Incoming::Goodbye(_) => {
                // What was reported before the goodbye is written first.
                while self.writes.join_next().await.is_some() {}
                if let Err(error) = goodbye(&self.app, session).await {
                    session.outbox.fail(to_status(error));
                    return false;
                }
                session.outbox.control(Message::Farewell(Farewell {}));
                fault::reach(FaultPoint::FarewellPushed);
                return false;
            }
        }
        true
    }
}

async fn goodbye(app: &App, session: &Session) -> Result<()> {
    session.drain();
    let Some(connection) = sessions::session_close(&app.pool, session.connection()).await.map_err(failure::to_error)?
    else {
        return Err(Error::new(ErrorCode::WrongState, "another stream has taken the session over"));
    };
    fault::reach(FaultPoint::GoodbyeCommitted);
    let left = sessions::session_run_list(&app.pool, &[session.id]).await.map_err(failure::to_error)?;
    let returns: Vec<Return> = left
        .into_iter()
        .map(|run| Return { namespace: run.namespace, id: run.id, run: run.run, session: session.id, connection })
        .collect();
    if !returns.is_empty() {
        let returned =
            returns::task_return_batch(&app.pool, None, Reason::Goodbye, &returns).await.map_err(failure::to_error)?;
        fault::reach(FaultPoint::ReturnCommitted);
        app.tell_returned(returned).await;
    }
    Ok(())
}

/// Results that come in pieces.
#[derive(Debug, Default)]
struct Chunks {
    parts: HashMap<RunId, Vec<u8>>,
    bytes: usize,
}

impl Chunks {
    /// Bytes of unfinished results that one stream may have.
    const BYTES_MAX: usize = 64 * 1_048_576;

    fn add(&mut self, chunk: Chunk) -> Result<()> {
        let id = taskyard_core::id::parse_task_id("chunk.task_id", &chunk.task_id)?;
        if chunk.data.len() > limits::CHUNK_BYTES_MAX {
            let message = format!("has {} bytes; at most {} are allowed", chunk.data.len(), limits::CHUNK_BYTES_MAX);
            return Err(Error::invalid("chunk.data", message));
        }
        self.bytes += chunk.data.len();
        if self.bytes > Self::BYTES_MAX {
            return Err(Error::new(ErrorCode::Exhausted, "too many unfinished results on one stream"));
        }
        let part = self.parts.entry((id, chunk.run.cast_signed())).or_default();
        // Beyond the limit the result is refused anyway; one byte more is enough to see it.
        let room = (limits::RESULT_BYTES_MAX + 1).saturating_sub(part.len());
        part.extend_from_slice(&chunk.data[..chunk.data.len().min(room)]);
        Ok(())
    }

    fn complete(&mut self, mut result: taskyard_proto::v1::Result) -> Complete {
        let part = Uuid::try_parse(&result.task_id)
            .ok()
            .and_then(|id| self.parts.remove(&(id, result.run.cast_signed())))
            .unwrap_or_default();
        self.bytes = self.bytes.saturating_sub(part.len());
        let bytes = match &mut result.outcome {
            Some(Reported::Completed(completed)) if completed.chunked_bytes > 0 => {
                if part.len() as u64 == completed.chunked_bytes || part.len() > limits::RESULT_BYTES_MAX {
                    Ok(part)
                } else {
                    let message = format!("{} of {} bytes came in chunks", part.len(), completed.chunked_bytes);
                    Err(Error::invalid("result", message))
                }
            }
            Some(Reported::Completed(completed)) if completed.result.is_empty() => Ok(b"null".to_vec()),
            Some(Reported::Completed(completed)) => Ok(std::mem::take(&mut completed.result).to_vec()),
            _ => Ok(Vec::new()),
        };
        let is_document = matches!(result.outcome, Some(Reported::Completed(_)));
        let bytes = bytes.and_then(|bytes| {
            if is_document {
                limits::check_json("result", &bytes, limits::RESULT_BYTES_MAX)?;
            }
            Ok(bytes)
        });
        Complete { result, bytes }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use taskyard_proto::v1::{Completed, Result as RunResult};

    use super::*;

    fn result(id: Uuid, chunked_bytes: u64, inline: &[u8]) -> RunResult {
        RunResult {
            task_id: id.to_string(),
            run: 1,
            outcome: Some(Reported::Completed(Completed { result: inline.to_vec().into(), chunked_bytes })),
        }
    }

    proptest! {
        #[test]
        fn a_result_survives_any_cut(length in 0usize..200_000, cuts in prop::collection::vec(1usize..65_536, 1..20)) {
            let document = serde_json::to_vec(&"x".repeat(length)).unwrap();
            let id = Uuid::now_v7();
            let mut chunks = Chunks::default();
            let mut rest = document.as_slice();
            let mut cuts = cuts.into_iter().cycle();
            while !rest.is_empty() {
                let (part, behind) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                chunks.add(Chunk { task_id: id.to_string(), run: 1, data: part.to_vec().into() }).unwrap();
                rest = behind;
            }
            let complete = chunks.complete(result(id, document.len() as u64, b""));
            prop_assert_eq!(complete.bytes.unwrap(), document);
            prop_assert_eq!(chunks.bytes, 0);
        }
    }

    #[test]
    fn what_is_missing_or_too_large_or_no_json_is_refused() {
        let id = Uuid::now_v7();
        let mut chunks = Chunks::default();
        assert!(chunks.complete(result(id, 10, b"")).bytes.is_err());
        assert!(chunks.complete(result(id, 0, b"{")).bytes.is_err());
        assert_eq!(chunks.complete(result(id, 0, b"")).bytes.unwrap(), b"null");
        for _ in 0..17 {
            chunks.add(Chunk { task_id: id.to_string(), run: 1, data: vec![b' '; 65_536].into() }).unwrap();
        }
        assert!(chunks.complete(result(id, 17 * 65_536, b"")).bytes.is_err());
        assert!(chunks.add(Chunk { task_id: id.to_string(), run: 1, data: vec![0; 65_537].into() }).is_err());
    }
}
