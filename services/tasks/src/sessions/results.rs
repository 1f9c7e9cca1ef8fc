//! Results that workers report: checked, written in groups, acknowledged after the commit.

use std::{sync::Arc, time::Duration};

use taskyard_core::{Error, ErrorCode, RetryPolicy, limits};
use taskyard_proto::v1::{
    Result as RunResult, ResultAck, ResultAcks, Verdict, result::Outcome as Reported, work_response::Message,
};
use uuid::Uuid;

use super::{RunId, Session, session::Stage};
use crate::{
    app::{App, finishes::Report},
    fault::{self, FaultPoint},
    store::{
        finish::{Finish, Outcome},
        returns::{self, Reason, Return},
    },
};

/// A result whose chunks, if it had any, are put together.
#[derive(Debug)]
pub struct Complete {
    pub result: RunResult,
    /// The result's bytes, or why they cannot be taken.
    pub bytes: Result<Vec<u8>, Error>,
}

/// Writes results and acknowledges each. Goes on until the database answers or the stream ends.
pub async fn record(app: Arc<App>, session: Arc<Session>, results: Vec<Complete>) {
    let mut finishes = Vec::new();
    let mut returns = Vec::new();
    let mut acks = Vec::new();
    for complete in results {
        match sort(&session, complete) {
            Sorted::Finish(finish) => finishes.push(*finish),
            Sorted::Return(run) => returns.push(run),
            Sorted::Answer(ack) => acks.push(ack),
        }
    }
    acknowledge(&app, &session, acks);
    let work = async { tokio::join!(finish(&app, &session, finishes), hand_back(&app, &session, returns)) };
    tokio::select! {
        _ = work => {}
        // The worker reports again on its next stream.
        () = session.closed() => {}
    }
}

enum Sorted {
    Finish(Box<Finish>),
    Return(Return),
    Answer(ResultAck),
}

fn sort(session: &Session, Complete { result, bytes }: Complete) -> Sorted {
    let run_number = result.run;
    let answer = |verdict: Verdict, message: String| {
        Sorted::Answer(ResultAck { task_id: result.task_id.clone(), run: run_number, verdict: verdict.into(), message })
    };
    let Ok(id) = Uuid::try_parse(&result.task_id) else {
        return answer(Verdict::Invalid, "the task id is not a UUID".to_owned());
    };
    let run: RunId = (id, run_number.cast_signed());
    let held = session.held(run);
    let outcome = match result.outcome {
        None => return answer(Verdict::Invalid, "the result has no outcome".to_owned()),
        Some(Reported::Stopped(_)) => {
            session.release(run);
            return answer(Verdict::Refused, String::new());
        }
        Some(Reported::Returned(_)) => {
            let namespace = held.map_or(session.namespace, |held| held.namespace);
            return Sorted::Return(Return {
                namespace,
                id,
                run: run.1,
                session: session.id,
                connection: session.connection,
            });
        }
        Some(Reported::Completed(_)) => match bytes {
            Ok(result) => Outcome::Completed { result },
            Err(error) => return answer(Verdict::Invalid, error.message),
        },
        Some(Reported::Failed(failed)) => {
            let (attempt, retry) = held.as_ref().map_or((0, RetryPolicy::default()), |held| (held.attempt, held.retry));
            let retry_after =
                failed.retry_after.and_then(|after| taskyard_proto::convert::duration("retry_after", after).ok());
            let error = if failed.error.is_empty() && failed.timed_out {
                "the run took longer than its timeout"
            } else if failed.error.is_empty() {
                "failed without a reason"
            } else {
                &failed.error
            };
            Outcome::Failed {
                error: limits::clean_message(error, limits::ERROR_BYTES_MAX),
                fatal: failed.fatal,
                delay: retry.delay(attempt.saturating_add(1), rand::random(), retry_after),
            }
        }
    };
    session.update(run, |held| held.stage = Stage::Reported);
    let namespace = held.map_or(session.namespace, |held| held.namespace);
    Sorted::Finish(Box::new(Finish { namespace, id, run: run.1, session: session.id, outcome }))
}

async fn finish(app: &App, session: &Session, finishes: Vec<Finish>) {
    let runs: Vec<RunId> = finishes.iter().map(|finish| (finish.id, finish.run)).collect();
    let answers = loop {
        match app.finishes.submit_all(finishes.clone()).await {
            Ok(answers) => break answers,
            Err(error) => {
                tracing::warn!(%error, results = runs.len(), "results are not written yet");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    };
    let mut acks = Vec::with_capacity(runs.len());
    let mut unwritten = None;
    for (run, answer) in runs.into_iter().zip(answers) {
        match answer {
            Ok(Report::Recorded) => acks.push(ack(run, Verdict::Recorded, String::new())),
            Ok(Report::Refused) => acks.push(ack(run, Verdict::Refused, String::new())),
            Err(error) if error.code == ErrorCode::InvalidInput => {
                acks.push(ack(run, Verdict::Invalid, error.message));
            }
            Err(error) => unwritten = Some(error),
        }
    }
    acknowledge(app, session, acks);
    if let Some(error) = unwritten {
        // The worker keeps what was not written and reports it again on its next stream.
        tracing::error!(session = %session.id, %error, "results could not be written");
        session.close();
    }
}

async fn hand_back(app: &App, session: &Session, returns: Vec<Return>) {
    if returns.is_empty() {
        return;
    }
    let returned = loop {
        match returns::task_return_batch(&app.pool, None, Reason::HandedBack, &returns).await {
            Ok(returned) => break returned,
            Err(error) => {
                tracing::warn!(%error, runs = returns.len(), "runs are not handed back yet");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    };
    fault::reach(FaultPoint::ReturnCommitted);
    let done: std::collections::HashSet<RunId> = returned.iter().map(|run| (run.id, run.run)).collect();
    app.tell_returned(returned).await;
    let acks = returns
        .iter()
        .map(|run| (run.id, run.run))
        .map(|run| ack(run, if done.contains(&run) { Verdict::Recorded } else { Verdict::Refused }, String::new()));
    acknowledge(app, session, acks.collect());
}

fn ack((id, run): RunId, verdict: Verdict, message: String) -> ResultAck {
    ResultAck { task_id: id.to_string(), run: run.cast_unsigned(), verdict: verdict.into(), message }
}

fn acknowledge(app: &App, session: &Session, acks: Vec<ResultAck>) {
    if acks.is_empty() {
        return;
    }
    for ack in &acks {
        let Ok(id) = Uuid::try_parse(&ack.task_id) else { continue };
        if ack.verdict() == Verdict::Invalid {
            // The worker still holds it and reports a failure instead.
            session.update((id, ack.run.cast_signed()), |held| held.stage = Stage::Running);
        } else {
            session.release((id, ack.run.cast_signed()));
        }
    }
    app.demand.changed(session);
    if !session.outbox.control(Message::Acks(ResultAcks { acks })) {
        session.close();
    }
    fault::reach(FaultPoint::ResultAcknowledged);
}
