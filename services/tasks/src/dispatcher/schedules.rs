//! Makes the tasks of schedules when their ticks come, by the database's clock.
//!
//! Each tick is carried out by one statement under the term: the tick's row, its task, and the schedule's next tick. So
//! whatever becomes of this process, and of whoever leads after it, a tick makes one task.

mod room;
mod steady;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use taskyard_core::{
    id,
    schedule::{Plan, plan},
};
use tokio::time::Instant;

use self::{room::Rooms, steady::SteadyClock};
use super::{End, Term};
use crate::{
    fault::{self, FaultPoint},
    store::ticks::{self, Due, DueSchedule, Fired, Move, Mover, NewTick},
};

/// Schedules of one look.
const SCHEDULES_MAX: i64 = 100;
/// Ticks of one statement; one schedule alone can have a few more.
const TICKS_MAX: usize = 500;
/// The slow look, in case a pod's word was lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Ticks within this time go into one statement.
const PAUSE: Duration = Duration::from_millis(5);
/// After an error.
const REPEAT_PAUSE: Duration = Duration::from_millis(500);
/// A schedule that this version cannot read is looked at again after this time.
const UNREADABLE_PAUSE: TimeDelta = TimeDelta::hours(1);

/// Makes schedules tick until the term ends.
pub async fn run(term: Arc<Term>) -> End {
    let mut clock = SteadyClock::new(term.app.settings.session_timeout());
    let mut rooms = Rooms::new(term.app.quotas.clone());
    let mut look_at = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(look_at) => {}
            () = term.schedules.notified() => {}
            () = rooms.counted() => {}
            () = term.stop.cancelled() => return End::Stopped,
        }
        let pause = match look(&term, &mut clock, &mut rooms).await {
            Ok(Some(pause)) => pause,
            Ok(None) => return End::Fenced,
            Err(error) => {
                tracing::warn!(%error, "schedules could not be looked at");
                REPEAT_PAUSE
            }
        };
        look_at = Instant::now() + pause;
    }
}

/// Carries out what is due, and says how long nothing more is. None: there is a newer term.
async fn look(term: &Term, clock: &mut SteadyClock, rooms: &mut Rooms) -> Result<Option<Duration>, sqlx::Error> {
    let due = ticks::schedule_due_list(&term.app.pool, &rooms.awaited(), SCHEDULES_MAX).await?;
    if let Some(pause) = clock.see(Instant::now(), due.now) {
        tracing::warn!(pause_ms = pause.as_millis(), "the clock jumped: schedules wait");
        return Ok(Some(pause.min(LOOK_INTERVAL)));
    }
    if due.schedules.is_empty() {
        return Ok(Some(until_next(&due)));
    }
    let moves = plan_all(&due, rooms);
    if moves.is_empty() {
        return Ok(Some(PAUSE));
    }
    fault::reach(FaultPoint::TickPlanned);
    let mover = Mover::Leader { term: term.number, before: clock.bound(Instant::now(), due.now) };
    let fired = ticks::tick_fire_batch(&term.app.pool, mover, &moves).await?;
    fault::reach(FaultPoint::TickCommitted);
    if !fired.leads {
        return Ok(None);
    }
    rooms.settle(&fired.made);
    let has_moved = fired.moved > 0;
    tell(term, fired);
    // Who moved none was not quicker than somebody's change, or the clock jumped.
    Ok(Some(if has_moved { PAUSE } else { REPEAT_PAUSE }))
}

fn tell(term: &Term, fired: Fired) {
    if !fired.made.is_empty() {
        tracing::debug!(tasks = fired.made.len(), "schedules made tasks");
    }
    term.app.tell_made(fired);
}

fn until_next(due: &Due) -> Duration {
    let next = due.next_in_ms.and_then(|ms| u64::try_from(ms + 1).ok()).map(Duration::from_millis);
    next.map_or(LOOK_INTERVAL, |next| next.clamp(PAUSE, LOOK_INTERVAL))
}

/// What shall become of those that are due, as many as one statement takes. Those of a namespace whose tasks have to be
/// counted first stay due.
fn plan_all(due: &Due, rooms: &mut Rooms) -> Vec<Move> {
    let mut ticks = 0;
    let mut moves = Vec::with_capacity(due.schedules.len());
    for schedule in &due.schedules {
        if ticks >= TICKS_MAX {
            break;
        }
        let mut one = plan_one(schedule, due.now);
        if rooms.admit(schedule, &mut one.ticks) {
            ticks += one.ticks.len();
            moves.push(one);
        }
    }
    moves
}

fn plan_one(schedule: &DueSchedule, now: DateTime<Utc>) -> Move {
    let plan = match &schedule.times {
        Ok(times) => plan(times, schedule.catch_up, schedule.overlap, schedule.next_at, now),
        Err(error) => {
            // Of a newer version, or a zone that is gone: the others go on.
            tracing::error!(schedule = schedule.schedule, %error, "a schedule cannot be read; it waits an hour");
            Plan { ticks: Vec::new(), next_at: Some(now + UNREADABLE_PAUSE) }
        }
    };
    let ticks = plan.ticks.into_iter().map(|(at, kind)| NewTick { at: Some(at), kind, task: id::new_task_id() });
    Move {
        schedule: schedule.schedule,
        version: schedule.version,
        next_at: Some(schedule.next_at),
        then_at: plan.next_at,
        ticks: ticks.collect(),
    }
}
