//! The leader's sign of life, and what it enforces by it: sessions that lapsed, runs that are too slow.
//!
//! Nothing is enforced before the leader has itself seen a whole session timeout of working database writes, by both
//! clocks: an outage of Postgres, a laptop's sleep or a clock that jumps expires nobody.

use std::{ops::Range, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use taskyard_proto::v1::StopReason;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{End, Term, pause_after};
use crate::{
    app::finishes,
    fault::{self, FaultPoint},
    store::{
        finish::{self, Finish, Finished, Outcome, Reporter},
        leader, returns,
        returns::Reason,
        sessions,
    },
};

const RENEW_INTERVAL: Duration = Duration::from_secs(1);
/// After so long without a write the leader lets go.
const WRITE_NONE: Duration = Duration::from_secs(3);
/// Clocks that disagree by more begin the wait again.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(2);
/// A jump ahead by more moves the deadlines of what runs. More than an answer may be late, which looks like one.
const JUMP_MIN: Duration = Duration::from_secs(5);
/// How often runs of closed sessions are looked for.
const RETURN_INTERVAL: Duration = Duration::from_secs(2);
/// Rows of one statement.
const CHUNK: i64 = 500;

/// Renews the term and enforces until it ends.
pub async fn run(term: Arc<Term>) -> End {
    let mut tick = interval(RENEW_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut written_at = Instant::now();
    let mut clocks = Clocks::new(term.app.settings.session_timeout());
    let mut jumps: Vec<Jump> = Vec::new();
    let mut return_at = Instant::now();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = term.stop.cancelled() => return End::Stopped,
        }
        let renewal = tokio::time::timeout(WRITE_NONE, leader::term_renew(&term.app.pool, term.number)).await;
        match renewal {
            Ok(Ok(Some(renewed))) => {
                fault::reach(FaultPoint::TermRenewed);
                written_at = Instant::now();
                jumps.extend(clocks.see(Instant::now(), renewed.now));
                if let Err(error) = move_deadlines(&term, &mut jumps).await {
                    tracing::warn!(%error, "deadlines could not be moved");
                    continue;
                }
                let Some(bounds) = clocks.may_enforce(Instant::now()) else { continue };
                if renewed.has_lapsed
                    && let Err(error) = expire(&term, bounds.clone()).await
                {
                    tracing::warn!(%error, "lapsed sessions could not be expired");
                }
                if renewed.has_lapsed || Instant::now() >= return_at {
                    let begun = Instant::now();
                    if let Err(error) = return_left(&term).await {
                        tracing::warn!(%error, "runs of closed sessions could not be sent back");
                    }
                    return_at = Instant::now() + pause_after(begun.elapsed(), RETURN_INTERVAL);
                }
                if renewed.has_overdue
                    && let Err(error) = fail_overdue(&term, bounds).await
                {
                    tracing::warn!(%error, "slow runs could not be failed");
                }
            }
            Ok(Ok(None)) => return End::Fenced,
            failed => {
                clocks.reset();
                let error = failed.map_or_else(
                    |_| "no answer".to_owned(),
                    |failed| failed.map_or_else(|error| error.to_string(), |_| String::new()),
                );
                tracing::warn!(%error, "the term could not be renewed");
                if written_at.elapsed() >= WRITE_NONE {
                    return End::LetGo("Postgres takes no writes");
                }
            }
        }
    }
}

/// Lapsed sessions are closed first; their runs go back in later statements.
async fn expire(term: &Term, clock: Range<DateTime<Utc>>) -> Result<(), sqlx::Error> {
    let expired = sessions::session_expire_batch(&term.app.pool, term.number, clock).await?;
    for session in &expired {
        tracing::warn!(session = %session.session, "a worker gave no sign of life; its runs go to others");
    }
    if !expired.is_empty() {
        fault::reach(FaultPoint::ExpiryCommitted);
    }
    Ok(())
}

/// Runs of closed sessions go back, until there are none: of those that lapsed, and of those whose pod died while it
/// sent them back.
async fn return_left(term: &Term) -> Result<(), sqlx::Error> {
    let pool = &term.app.pool;
    loop {
        let runs = sessions::closed_session_run_list(pool, CHUNK).await?;
        if runs.is_empty() {
            return Ok(());
        }
        let returned = returns::task_return_batch(pool, Some(term.number), Reason::Expired, &runs).await?;
        fault::reach(FaultPoint::ReturnCommitted);
        term.app.metrics.returned(Reason::Expired.as_str(), returned.len());
        let is_stuck = returned.is_empty();
        term.app.tell_returned(returned).await;
        if is_stuck {
            // A newer transaction has them, or a newer term: the next second looks again.
            return Ok(());
        }
    }
}

/// The worker enforces its timeout first; this is for those that do not.
async fn fail_overdue(term: &Term, clock: Range<DateTime<Utc>>) -> Result<(), sqlx::Error> {
    let app = &term.app;
    let overdue = finish::task_overdue_list(&app.pool, clock, CHUNK).await?;
    if overdue.is_empty() {
        // Past its deadline, and too young to be failed.
        return Ok(());
    }
    let finishes: Vec<Finish> = overdue
        .iter()
        .map(|run| Finish {
            namespace: run.namespace,
            id: run.id,
            run: run.run,
            session: run.session,
            outcome: Outcome::Failed {
                error: "the run took longer than its timeout".to_owned(),
                fatal: false,
                delay: run.retry.delay(run.attempt.cast_unsigned().saturating_add(1), rand::random(), None),
            },
        })
        .collect();
    let items: Vec<&Finish> = finishes.iter().collect();
    let finished = finish::task_finish_batch(&app.pool, Reporter::Deadline { term: term.number }, &items).await?;
    fault::reach(FaultPoint::DeadlineCommitted);
    finishes::tell(&app.wakes, &app.metrics, &items, &finished);
    for (run, finished) in finishes.iter().zip(&finished) {
        if matches!(finished, Finished::Recorded { .. })
            && let Some(pod) = sessions::session_pod(&app.pool, run.session).await?
        {
            app.tell_stop(&pod, run.id, run.run, run.session, StopReason::TimedOut).await;
        }
    }
    Ok(())
}

/// Deadlines stand in the database by its clock. When that jumps ahead, or all of this machine slept, no run has had the
/// time that has passed by it.
async fn move_deadlines(term: &Term, jumps: &mut Vec<Jump>) -> Result<(), sqlx::Error> {
    while let Some(jump) = jumps.first() {
        let moved = finish::deadline_move(&term.app.pool, term.number, jump.by, jump.before).await?;
        tracing::warn!(by_s = jump.by.num_seconds(), runs = moved, "the clock jumped ahead: deadlines were moved");
        jumps.remove(0);
    }
    Ok(())
}

/// The database's clock went ahead of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Jump {
    by: TimeDelta,
    /// Where it would be now; what was started later was started after the jump.
    before: DateTime<Utc>,
}

/// For how long writes have worked, by the monotonic clock and the database's.
#[derive(Debug)]
struct Clocks {
    timeout: Duration,
    since: Option<(Instant, DateTime<Utc>)>,
    last: Option<(Instant, DateTime<Utc>)>,
}

impl Clocks {
    const fn new(timeout: Duration) -> Self {
        Self { timeout, since: None, last: None }
    }

    /// A write did not work.
    const fn reset(&mut self) {
        self.since = None;
    }

    /// A write worked, at this time of both clocks. Returns how far the other one jumped ahead since the last one.
    fn see(&mut self, here: Instant, there: DateTime<Utc>) -> Option<Jump> {
        let mut jump = None;
        if let Some((last_here, last_there)) = self.last {
            let passed_here = here.duration_since(last_here);
            let expected = last_there + delta(passed_here);
            let by = there - expected;
            let apart = by.abs();
            jump = (by > delta(JUMP_MIN)).then_some(Jump { by, before: expected });
            // A pause of this process counts like an outage: nobody was renewed by what it could not see.
            if apart > delta(CLOCKS_APART_MAX) || passed_here > self.timeout / 2 {
                tracing::warn!(
                    apart_ms = apart.num_milliseconds(),
                    "clocks jumped or writes stopped: nothing is enforced for a while"
                );
                self.reset();
            }
        }
        self.since.get_or_insert((here, there));
        self.last = Some((here, there));
        jump
    }

    /// If writes have worked for a whole timeout by both clocks: where the database's clock must be for a session to
    /// be expired.
    fn may_enforce(&self, here: Instant) -> Option<Range<DateTime<Utc>>> {
        let (since_here, since_there) = self.since?;
        let (last_here, last_there) = self.last?;
        let by_both =
            here.duration_since(since_here) >= self.timeout && last_there - since_there >= delta(self.timeout);
        let expected = last_there + delta(here.duration_since(last_here));
        by_both.then(|| last_there..expected + delta(CLOCKS_APART_MAX))
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn after(clocks: &mut Clocks, start: Instant, there: DateTime<Utc>, seconds: Range<u64>, jump: TimeDelta) {
        for second in seconds {
            clocks.see(start + Duration::from_secs(second), there + TimeDelta::seconds(second.cast_signed()) + jump);
        }
    }

    #[test]
    fn nothing_is_enforced_before_a_whole_timeout_of_writes() {
        let (start, there) = (Instant::now(), Utc::now());
        let mut clocks = Clocks::new(TIMEOUT);
        after(&mut clocks, start, there, 0..10, TimeDelta::zero());
        assert!(clocks.may_enforce(start + Duration::from_secs(9)).is_none());
        after(&mut clocks, start, there, 10..11, TimeDelta::zero());
        assert!(clocks.may_enforce(start + Duration::from_secs(10)).is_some());
    }

    #[test]
    fn a_jump_of_the_databases_clock_begins_the_wait_again() {
        let (start, there) = (Instant::now(), Utc::now());
        for jump in [TimeDelta::hours(1), TimeDelta::hours(-1), TimeDelta::seconds(3)] {
            let mut clocks = Clocks::new(TIMEOUT);
            after(&mut clocks, start, there, 0..20, TimeDelta::zero());
            after(&mut clocks, start, there, 20..29, jump);
            assert!(clocks.may_enforce(start + Duration::from_secs(29)).is_none(), "{jump}");
            after(&mut clocks, start, there, 29..31, jump);
            assert!(clocks.may_enforce(start + Duration::from_secs(30)).is_some(), "{jump}");
        }
    }

    #[test]
    fn a_jump_ahead_is_told_once_an_outage_between_or_not() {
        let (start, there) = (Instant::now(), Utc::now());
        let second = |second: u64| start + Duration::from_secs(second);
        let at = |second: i64| there + TimeDelta::seconds(second);
        let mut clocks = Clocks::new(TIMEOUT);
        assert_eq!(clocks.see(second(0), at(0)), None);
        assert_eq!(clocks.see(second(4), at(1)), None, "an answer that came late");
        assert_eq!(clocks.see(second(5), at(5)), None);
        clocks.reset();
        let jump = Jump { by: TimeDelta::seconds(100), before: at(30) };
        assert_eq!(clocks.see(second(30), at(130)), Some(jump));
        assert_eq!(clocks.see(second(31), at(131)), None);
        assert_eq!(clocks.see(second(32), at(31)), None, "back");
    }

    #[test]
    fn an_outage_or_a_pause_begins_the_wait_again() {
        let (start, there) = (Instant::now(), Utc::now());
        let mut clocks = Clocks::new(TIMEOUT);
        after(&mut clocks, start, there, 0..20, TimeDelta::zero());
        clocks.reset();
        assert!(clocks.may_enforce(start + Duration::from_secs(20)).is_none());
        after(&mut clocks, start, there, 20..40, TimeDelta::zero());
        assert!(clocks.may_enforce(start + Duration::from_secs(39)).is_some());
        after(&mut clocks, start, there, 100..101, TimeDelta::zero());
        assert!(clocks.may_enforce(start + Duration::from_secs(100)).is_none());
    }
}
