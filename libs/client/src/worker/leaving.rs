//! The timetable of a worker that shuts down.

use std::time::Duration;

use tokio::time::Instant;

// Of the grace period, for telling the pod what became of everything.
const RESERVE_MAX: Duration = Duration::from_secs(4);

/// The timetable of a worker that shuts down: it ends within its grace period, whatever happens.
#[derive(Debug)]
pub(super) struct Leaving {
    steps: [(Instant, Step); 4],
    done: usize,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Handlers are told to stop.
    Stop,
    /// Handlers are aborted.
    Abort,
    /// What did not end even so is handed back.
    HandBack,
    /// The worker ends.
    End,
}

impl Leaving {
    pub fn new(now: Instant, grace_period: Duration, stop_grace: Duration) -> Self {
        let reserve = (grace_period / 5).min(RESERVE_MAX);
        let abort = grace_period - reserve;
        let steps = [
            (now + abort.saturating_sub(stop_grace), Step::Stop),
            (now + abort, Step::Abort),
            (now + grace_period - reserve / 2, Step::HandBack),
            (now + grace_period, Step::End),
        ];
        Self { steps, done: 0 }
    }

    /// When the next step is due.
    pub fn next_at(&self) -> Option<Instant> {
        self.steps.get(self.done).map(|(at, _)| *at)
    }

    /// The next step, if it is due.
    pub fn next_due(&mut self, now: Instant) -> Option<Step> {
        let (at, step) = *self.steps.get(self.done)?;
        (now >= at).then(|| {
            self.done += 1;
            step
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_step_has_its_time_within_the_grace_period() {
        let now = Instant::now();
        for (grace_ms, stop_ms) in [(25_000, 3_000), (1_000, 3_000), (0, 0), (5, 1_000_000)] {
            let grace = Duration::from_millis(grace_ms);
            let mut leaving = Leaving::new(now, grace, Duration::from_millis(stop_ms));
            let times: Vec<_> = leaving.steps.iter().map(|(at, _)| *at).collect();
            assert!(times.is_sorted() && times[0] >= now && times[3] == now + grace, "{times:?}");
            if grace > Duration::from_secs(20) {
                assert_eq!(times[1] - times[0], Duration::from_millis(stop_ms), "handlers have time to stop");
            }
            let due: Vec<_> = std::iter::from_fn(|| leaving.next_due(now + grace)).collect();
            assert_eq!(due, [Step::Stop, Step::Abort, Step::HandBack, Step::End]);
            assert_eq!(leaving.next_at(), None);
        }
    }
}
