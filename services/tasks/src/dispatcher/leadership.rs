//! Who leads: a lock in Redis, a term in Postgres.

use std::{sync::Arc, time::Duration};

use taskyard_redis::{Lock, Redis};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{End, Term, backlog, due, erase, housekeeping, index, reconcile, relay, schedules, starts, vitals};
use crate::{
    app::App,
    fault::{self, FaultPoint},
    store::leader,
};

/// How long the lock lives without renewal: a frozen leader is replaced after this and one try.
const LOCK_LIFE: Duration = Duration::from_secs(3);
/// How often the lock is renewed.
const RENEW_INTERVAL: Duration = Duration::from_millis(700);
/// How often a candidate tries.
const TRY_INTERVAL: Duration = Duration::from_millis(500);
/// How often a candidate without Redis looks whether the leader's row is abandoned.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// How long a process stands back after it let go.
const STAND_BACK: Duration = Duration::from_secs(5);
/// How long the loops of a term have to end.
const LOOPS_END: Duration = Duration::from_secs(2);

/// Tries to lead, and leads, until the stop.
pub async fn run(app: Arc<App>, redis: Redis, stop: CancellationToken) -> anyhow::Result<()> {
    let lock = redis.lock("dispatcher", &app.pod, LOCK_LIFE);
    let mut looked_at: Option<Instant> = None;
    while !stop.is_cancelled() {
        let term = match lock.acquire().await {
            Ok(true) => match tokio::time::timeout(LOCK_LIFE, leader::term_take(&app.pool, &app.pod)).await {
                Ok(Ok(term)) => Some(term),
                failed => {
                    let error = failed.map_or_else(
                        |_| "no answer".to_owned(),
                        |failed| failed.map_or_else(|error| error.to_string(), |_| String::new()),
                    );
                    tracing::warn!(%error, "the lock is ours but no term can be taken");
                    release(&lock).await;
                    pause(STAND_BACK, &stop).await;
                    None
                }
            },
            Ok(false) => None,
            Err(error) => {
                tracing::debug!(%error, "Redis cannot be reached");
                if looked_at.is_none_or(|at| at.elapsed() > LOOK_INTERVAL) {
                    looked_at = Some(Instant::now());
                    leader::term_take_abandoned(&app.pool, &app.pod).await.unwrap_or_default()
                } else {
                    None
                }
            }
        };
        if let Some(term) = term {
            lead_on(&app, &lock, term, &stop).await;
        }
        pause(TRY_INTERVAL.mul_f64(0.8 + 0.4 * rand::random::<f64>()), &stop).await;
    }
    redis.close().await;
    Ok(())
}

/// Leads, term after term, until another does or something fails.
async fn lead_on(app: &Arc<App>, lock: &Lock, mut number: i64, stop: &CancellationToken) {
    loop {
        fault::reach(FaultPoint::TermTaken);
        tracing::info!(term = number, "this process leads");
        app.metrics.leads(Some(number));
        let end = lead(app, lock, number, stop).await;
        app.metrics.leads(None);
        tracing::info!(term = number, ?end, "the term has ended");
        match end {
            End::Retake => match tokio::time::timeout(LOCK_LIFE, leader::term_take(&app.pool, &app.pod)).await {
                Ok(Ok(next)) => {
                    number = next;
                    continue;
                }
                _ => {
                    release(lock).await;
                    pause(STAND_BACK, stop).await;
                }
            },
            End::LetGo(_) => {
                release(lock).await;
                pause(STAND_BACK, stop).await;
            }
            End::Stopped | End::Fenced => release(lock).await,
        }
        return;
    }
}

async fn lead(app: &Arc<App>, lock: &Lock, number: i64, stop: &CancellationToken) -> End {
    let term = Arc::new(Term::new(number, app.clone(), stop.child_token()));
    let mut loops = JoinSet::new();
    loops.spawn(starts::run(term.clone()));
    loops.spawn(vitals::run(term.clone()));
    loops.spawn(due::run(term.clone()));
    loops.spawn(schedules::run(term.clone()));
    loops.spawn(relay::run(term.clone()));
    loops.spawn(reconcile::run(term.clone()));
    loops.spawn(housekeeping::run(term.clone()));
    loops.spawn(backlog::run(term.clone()));
    loops.spawn(index::run(term.clone()));
    loops.spawn(erase::run(term.clone()));
    loops.spawn(hold(term.clone(), lock.clone()));
    let end = match loops.join_next().await {
        Some(Ok(end)) => end,
        Some(Err(error)) => {
            tracing::error!(%error, "a loop of the leader failed");
            End::LetGo("a loop failed")
        }
        None => End::LetGo("no loop"),
    };
    term.stop.cancel();
    let rest = async { while loops.join_next().await.is_some() {} };
    // What hangs on a server that does not answer is dropped.
    let _ = tokio::time::timeout(LOOPS_END, rest).await;
    loops.shutdown().await;
    if stop.is_cancelled() { End::Stopped } else { end }
}

/// Renews the lock for as long as the dispatch loop goes round.
async fn hold(term: Arc<Term>, lock: Lock) -> End {
    let mut went_round = term.went_round.subscribe();
    loop {
        tokio::select! {
            changed = went_round.changed() => if changed.is_err() { return End::Stopped },
            () = term.stop.cancelled() => return End::Stopped,
        }
        match lock.renew().await {
            Ok(true) => {}
            // It expired, or Redis was wiped: ours again if nobody was faster.
            Ok(false) => match lock.acquire().await {
                Ok(true) => {}
                Ok(false) => return End::Fenced,
                Err(error) => tracing::debug!(%error, "the lock could not be taken again"),
            },
            // A leader that cannot reach Redis goes on leading.
            Err(error) => tracing::debug!(%error, "the lock could not be renewed"),
        }
        pause(RENEW_INTERVAL, &term.stop).await;
    }
}

async fn release(lock: &Lock) {
    if let Err(error) = lock.release().await {
        tracing::debug!(%error, "the lock was not released; it expires by itself");
    }
}

async fn pause(time: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stop.cancelled() => {}
    }
}
