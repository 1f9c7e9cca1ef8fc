//! The runs that the worker holds: from the arrival of the assignment to the acknowledgement of the result.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use taskyard_proto::v1::{self, Verdict, result};
use tokio::{task::AbortHandle, time::Instant};

use super::{
    Context, Outcome, StopReason,
    handler::Ending,
    outcome::{failed, returned, stopped, timed_out},
    run_name::RunName,
};

// Deadlines are looked at all together, and no more often than this.
const CHECK_INTERVAL_MIN: Duration = Duration::from_millis(20);

/// The runs that the worker holds. What still runs when this is dropped is aborted.
#[derive(Debug)]
pub(super) struct Held {
    runs: HashMap<RunName, Stage>,
    running: usize,
    stop_grace: Duration,
    check_at: Option<Instant>,
}

#[derive(Debug)]
enum Stage {
    Running(Running),
    /// Not acknowledged yet. `invalid` counts how often the pod could not take what was reported.
    Finished {
        outcome: result::Outcome,
        invalid: u8,
    },
}

#[derive(Debug)]
struct Running {
    context: Context,
    work: AbortHandle,
    timeout: Duration,
    deadline: Instant,
    stop: Option<Stop>,
}

#[derive(Debug)]
struct Stop {
    cause: Cause,
    abort_at: Option<Instant>,
}

/// Who stopped a run; it decides what its end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Pod,
    Timeout,
    Leaving,
}

/// What a stop met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The handler is told; its end will be reported.
    Told,
    /// The run has ended; its result is on its way.
    Finished,
    /// The worker does not hold it, and has to say so: the pod counts its slot as taken until then.
    NotHeld,
}

impl Held {
    pub fn new(stop_grace: Duration) -> Self {
        Self { runs: HashMap::new(), running: 0, stop_grace, check_at: None }
    }

    pub fn contains(&self, name: RunName) -> bool {
        self.runs.contains_key(&name)
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Runs whose handler has not ended.
    pub const fn running(&self) -> usize {
        self.running
    }

    pub fn is_running(&self, name: RunName) -> bool {
        matches!(self.runs.get(&name), Some(Stage::Running(_)))
    }

    /// Everything that a hello has to name.
    pub fn names(&self) -> impl Iterator<Item = RunName> {
        self.runs.keys().copied()
    }

    /// Everything that has to be reported on a new stream.
    pub fn finished(&self) -> impl Iterator<Item = RunName> {
        self.runs.iter().filter_map(|(name, stage)| matches!(stage, Stage::Finished { .. }).then_some(*name))
    }

    /// What is to be reported of a run.
    pub fn outcome(&self, name: RunName) -> Option<&result::Outcome> {
        match self.runs.get(&name)? {
            Stage::Finished { outcome, .. } => Some(outcome),
            Stage::Running(_) => None,
        }
    }

    /// A handler was started.
    pub fn begin(&mut self, name: RunName, context: Context, work: AbortHandle, timeout: Duration, now: Instant) {
        let deadline = now + timeout;
        self.running += 1;
        self.check_by(deadline);
        self.runs.insert(name, Stage::Running(Running { context, work, timeout, deadline, stop: None }));
    }

    /// A run is handed back without having begun.
    pub fn hand_back(&mut self, name: RunName) {
        self.runs.insert(name, Stage::Finished { outcome: returned(), invalid: 0 });
    }

    /// A handler ended. Whether there is something to report now.
    pub fn end(&mut self, name: RunName, ending: Ending) -> bool {
        let Some(stage) = self.runs.get_mut(&name) else { return false };
        let Stage::Running(run) = stage else { return false };
        let outcome = outcome_of(run, ending);
        *stage = Stage::Finished { outcome, invalid: 0 };
        self.running -= 1;
        true
    }

    /// The pod stops a run.
    pub fn stop(&mut self, name: RunName, reason: StopReason, now: Instant) -> Stopped {
        let abort_at = now + self.stop_grace;
        match self.runs.get_mut(&name) {
            None => Stopped::NotHeld,
            Some(Stage::Finished { .. }) => Stopped::Finished,
            Some(Stage::Running(run)) => {
                stop_run(run, Cause::Pod, reason, abort_at);
                self.check_by(abort_at);
                Stopped::Told
            }
        }
    }

    /// The pod answered a result. Whether there is something else to report instead.
    pub fn acknowledge(&mut self, name: RunName, verdict: Verdict, message: &str) -> bool {
        let Entry::Occupied(mut entry) = self.runs.entry(name) else {
            // An answer to a `stopped` of a run that was not held.
            return false;
        };
        let Stage::Finished { outcome, invalid } = entry.get_mut() else {
            tracing::warn!(run = %name, ?verdict, "A pod acknowledges a run that has not ended; this is ignored");
            return false;
        };
        if verdict == Verdict::Invalid {
            *invalid += 1;
            tracing::warn!(run = %name, message, "The server cannot take a result");
            match *invalid {
                1 => *outcome = failed(&format!("the server cannot take the result: {message}")),
                2 => *outcome = returned(),
                // It takes neither a failure nor a return: its own comparison has to settle this.
                _ => {
                    entry.remove();
                    return false;
                }
            }
            return true;
        }
        // A verdict that a newer server knows and this version does not is an end, too: otherwise the slot is lost.
        entry.remove();
        false
    }

    /// When [`Held::check`] is due.
    pub const fn check_at(&self) -> Option<Instant> {
        self.check_at
    }

    /// Stops what has taken longer than its timeout, aborts what has not ended although it was told to stop.
    pub fn check(&mut self, now: Instant) {
        if self.check_at.is_none_or(|at| now < at) {
            return;
        }
        let mut next: Option<Instant> = None;
        for (name, stage) in &mut self.runs {
            let Stage::Running(run) = stage else { continue };
            if run.stop.is_none() && now >= run.deadline {
                stop_run(run, Cause::Timeout, StopReason::TimedOut, now + self.stop_grace);
            }
            if let Some(Stop { abort_at, .. }) = &mut run.stop
                && abort_at.is_some_and(|at| now >= at)
            {
                tracing::warn!(run = %name, "A handler does not end although it was told to; it is aborted");
                *abort_at = None;
                run.work.abort();
            }
            let due = run.stop.as_ref().map_or(Some(run.deadline), |stop| stop.abort_at);
            next = next.into_iter().chain(due).min();
        }
        self.check_at = next.map(|next| next.max(now + CHECK_INTERVAL_MIN));
    }

    /// Tells every handler that the worker is about to end.
    pub fn stop_all(&mut self, now: Instant) {
        let abort_at = now + self.stop_grace;
        for run in self.running_mut() {
            stop_run(run, Cause::Leaving, StopReason::ShuttingDown, abort_at);
        }
        self.check_by(abort_at);
    }

    /// Aborts every handler.
    pub fn abort_all(&mut self) {
        for run in self.running_mut() {
            run.work.abort();
            run.stop.get_or_insert(Stop { cause: Cause::Leaving, abort_at: None });
        }
    }

    /// Hands back what did not even end by an abort, as the process is about to end.
    pub fn hand_back_all(&mut self) -> Vec<RunName> {
        let names: Vec<_> = self.names().filter(|name| self.is_running(*name)).collect();
        for name in &names {
            self.end(*name, Ending::Aborted);
        }
        names
    }

    fn running_mut(&mut self) -> impl Iterator<Item = &mut Running> {
        self.runs.values_mut().filter_map(|stage| match stage {
            Stage::Running(run) => Some(run),
            Stage::Finished { .. } => None,
        })
    }

    fn check_by(&mut self, at: Instant) {
        self.check_at = Some(self.check_at.map_or(at, |present| present.min(at)));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.abort_all();
    }
}

fn stop_run(run: &mut Running, cause: Cause, reason: StopReason, abort_at: Instant) {
    run.context.stop(reason);
    match &mut run.stop {
        // What the pod says decides about the end; the abort stays where it was.
        Some(stop) if cause == Cause::Pod => stop.cause = cause,
        Some(_) => {}
        None => run.stop = Some(Stop { cause, abort_at: Some(abort_at) }),
    }
}

/// What the end of a handler means, given who stopped it.
fn outcome_of(run: &Running, ending: Ending) -> result::Outcome {
    let cause = run.stop.as_ref().map(|stop| stop.cause);
    let too_slow = || format!("took longer than its timeout of {:?}", run.timeout);
    match (cause, ending) {
        (Some(Cause::Pod), _) => stopped(),
        // It is done, if late: nobody gains from doing it again.
        (_, Ending::Outcome(outcome @ Outcome::Completed(_))) => outcome.into_proto(),
        (Some(Cause::Timeout), Ending::Outcome(Outcome::Failed { error, .. })) => {
            timed_out(&format!("{}: {error}", too_slow()))
        }
        (Some(Cause::Timeout), _) => timed_out(&too_slow()),
        // Nobody told it to stop, or we did because we are about to end.
        (None | Some(Cause::Leaving), Ending::Outcome(Outcome::Stopped) | Ending::Aborted) => returned(),
        (None | Some(Cause::Leaving), Ending::Outcome(outcome)) => outcome.into_proto(),
        (None | Some(Cause::Leaving), Ending::Panicked(message)) => failed(&message),
    }
}

/// The reason as the pod gives it.
pub(super) fn reason_of(reason: v1::StopReason) -> StopReason {
    match reason {
        v1::StopReason::Canceled => StopReason::Canceled,
        v1::StopReason::TimedOut => StopReason::TimedOut,
        v1::StopReason::NotYours | v1::StopReason::Unspecified => StopReason::NotYours,
    }
}
