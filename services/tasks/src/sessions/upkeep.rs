//! What keeps sessions true: renewals, and the comparison of what workers hold with what runs.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use taskyard_proto::{
    internal::{Beacon, StopRuns},
    v1::{Drain, Stop, StopReason, Stops, work_response::Message},
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{RunId, Session, session::Stage};
use crate::{
    app::App,
    dispatcher::pause_after,
    fault::{self, FaultPoint},
    store::{
        returns::{self, Reason, Return},
        sessions,
    },
};

/// How often a pod compares; also at each new term.
const COMPARISON_INTERVAL: Duration = Duration::from_secs(10);

/// Extends the sessions of workers that gave a sign of life. When the database does not answer for a third of the
/// timeout, the workers are sent elsewhere: another pod may reach it.
pub async fn renew(app: Arc<App>, stop: CancellationToken) -> anyhow::Result<()> {
    let timings = app.timings();
    let mut tick = interval(timings.session_timeout / 4);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut renewed_at = Instant::now();
    loop {
        // Sessions are kept alive until their workers have moved to another pod.
        let stopping = stop.is_cancelled();
        if stopping && app.sessions.len() == 0 {
            return Ok(());
        }
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled(), if !stopping => continue,
            () = tokio::time::sleep(Duration::from_millis(50)), if stopping => continue,
        }
        let alive: Vec<Arc<Session>> =
            app.sessions.all().into_iter().filter(|session| session.silence() < timings.session_timeout / 2).collect();
        if alive.is_empty() {
            renewed_at = Instant::now();
            continue;
        }
        // Counted from the last sign, not from now: a worker that is lost without a word is lost no later.
        let lives: Vec<_> = alive
            .iter()
            .map(|session| (session.connection(), timings.session_timeout.saturating_sub(session.silence())))
            .collect();
        let renewal = sessions::session_renew_batch(&app.pool, &lives);
        match tokio::time::timeout(timings.session_timeout / 3, renewal).await {
            Ok(Ok(renewed)) => {
                fault::reach(FaultPoint::RenewalCommitted);
                renewed_at = Instant::now();
                let renewed: HashSet<Uuid> = renewed.into_iter().collect();
                for session in alive.iter().filter(|session| !renewed.contains(&session.id)) {
                    tracing::info!(session = %session.id, "the session was taken over or expired; the worker must say hello again");
                    session.close();
                }
            }
            failed => {
                let error = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer".to_owned(),
                };
                tracing::warn!(%error, sessions = alive.len(), "sessions could not be renewed");
                if renewed_at.elapsed() > timings.session_timeout / 3 {
                    for session in &alive {
                        if session.drain() {
                            session.outbox.control(Message::Drain(Drain {}));
                            fault::reach(FaultPoint::DrainPushed);
                        }
                    }
                }
            }
        }
    }
}

/// Hears the leader's beacons: tells all free slots anew, and compares at each new term and every 10 s.
pub async fn follow_leader(app: Arc<App>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut beacons = app.bus.listen::<Beacon>(app.bus.names().beacon()).await?;
    let mut tick = interval(COMPARISON_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut term = 0;
    let mut not_before = Instant::now();
    loop {
        let is_due = tokio::select! {
            beacon = beacons.next() => {
                let Some(beacon) = beacon else { anyhow::bail!("the connection to NATS is closed") };
                app.wakes.hear_beacon(&beacon);
                app.demand.complete();
                let is_new = beacon.term > term;
                term = term.max(beacon.term);
                is_new
            }
            _ = tick.tick() => Instant::now() >= not_before,
            () = stop.cancelled() => return Ok(()),
        };
        if !is_due {
            continue;
        }
        let begun = Instant::now();
        if let Err(error) = compare(&app).await {
            tracing::warn!(%error, "what runs could not be compared");
        }
        not_before = Instant::now() + pause_after(begun.elapsed(), Duration::ZERO);
    }
}

/// Held without a row: stop. A row older than 5 s and not held: back to the queue, no attempt spent.
async fn compare(app: &App) -> Result<(), sqlx::Error> {
    // What is held is noted before the database is read: what is missing there has ended, and is not merely new.
    let held: Vec<_> = app.sessions.all().into_iter().map(|session| (session.clone(), session.all_held())).collect();
    if held.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = held.iter().map(|(session, _)| session.id).collect();
    let mut running: HashMap<Uuid, Vec<sessions::SessionRun>> = HashMap::new();
    for run in sessions::session_run_list(&app.pool, &ids).await? {
        running.entry(run.session).or_default().push(run);
    }
    let mut returns = Vec::new();
    for (session, held) in &held {
        let running = running.remove(&session.id).unwrap_or_default();
        let rows: HashSet<RunId> = running.iter().map(|run| (run.id, run.run)).collect();
        let ended = held.iter().filter(|(run, stage)| *stage == Stage::Running && !rows.contains(run));
        stop_runs(session, ended.map(|(run, _)| (*run, StopReason::NotYours)));
        for run in running {
            // Held now, not only when the comparison began: it may have been taken in meanwhile.
            if run.is_settled && session.held((run.id, run.run)).is_none() {
                returns.push(Return {
                    namespace: run.namespace,
                    id: run.id,
                    run: run.run,
                    session: session.id,
                    connection: session.connection,
                });
            }
        }
    }
    if !returns.is_empty() {
        tracing::info!(runs = returns.len(), "runs that no worker holds go back to their queue");
        let returned = returns::task_return_batch(&app.pool, None, Reason::NotHeld, &returns).await?;
        fault::reach(FaultPoint::ReturnCommitted);
        app.tell_returned(returned).await;
    }
    Ok(())
}

/// Hears which runs are to be stopped: they were canceled or were too slow.
pub async fn hear_stops(app: Arc<App>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut orders = app.bus.listen::<StopRuns>(app.bus.names().stop(&app.pod)).await?;
    loop {
        let order = tokio::select! {
            order = orders.next() => order,
            () = stop.cancelled() => return Ok(()),
        };
        let Some(order) = order else { anyhow::bail!("the connection to NATS is closed") };
        for run in order.runs {
            let (Ok(id), Ok(session)) = (Uuid::from_slice(&run.id), Uuid::from_slice(&run.session)) else { continue };
            if let Some(session) = app.sessions.get(session) {
                let reason = StopReason::try_from(run.reason).unwrap_or(StopReason::NotYours);
                stop_runs(&session, [((id, run.run), reason)].into_iter());
            }
        }
    }
}

fn stop_runs(session: &Session, runs: impl Iterator<Item = (RunId, StopReason)>) {
    let stops: Vec<Stop> = runs
        .filter(|(run, _)| session.stop(*run))
        .map(|((id, run), reason)| Stop { task_id: id.to_string(), run: run.cast_unsigned(), reason: reason.into() })
        .collect();
    if stops.is_empty() {
        return;
    }
    if !session.outbox.control(Message::Stops(Stops { stops })) {
        session.close();
    }
    fault::reach(FaultPoint::StopPushed);
}
