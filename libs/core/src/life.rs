//! The life of a task as a pure state machine. The statements of the tasks service are its implementation in SQL; a
//! test drives both with the same commands and compares.

use crate::{EventType, TaskState, limits};

/// Where a task stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The state; `None` before the create and after the delete.
    pub state: Option<TaskState>,
    /// The newest run's number.
    pub run: u32,
    /// Attempts spent.
    pub attempt: u16,
    /// Attempts in all.
    pub attempts_max: u16,
    /// Returns of the task that spent no attempt.
    pub returns: i16,
    /// Changes so far.
    pub version: u32,
    /// A task for people.
    pub manual: bool,
}

/// What can be done to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// It is handed in, to start at once or later.
    Create {
        /// Its time lies ahead.
        delayed: bool,
    },
    /// Its time has come.
    Due,
    /// The leader starts a run.
    Start,
    /// The run `run` did not report and goes back.
    Return {
        /// The run.
        run: u32,
        /// An attempt is spent: its worker was lost.
        counted: bool,
    },
    /// The run `run` reports success.
    Complete {
        /// The run.
        run: u32,
    },
    /// The run `run` reports a failure or was too slow.
    Fail {
        /// The run.
        run: u32,
        /// No further attempt.
        fatal: bool,
    },
    /// A person completes a manual task.
    CompleteByHand,
    /// Somebody cancels it.
    Cancel,
    /// Somebody retries a dead or canceled task.
    Retry,
    /// Somebody changes its texts.
    Update,
    /// Somebody deletes it.
    Delete,
}

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The event's type.
    pub event: EventType,
    /// The state before.
    pub from: Option<TaskState>,
    /// The task afterwards.
    pub life: Life,
}

impl Life {
    /// A task that is not there yet.
    #[must_use]
    pub const fn new(manual: bool, attempts_max: u16) -> Self {
        Self { state: None, run: 0, attempt: 0, attempts_max, returns: 0, version: 0, manual }
    }

    /// Carries out a command, or refuses it (`None`).
    #[must_use]
    pub fn apply(self, command: Command) -> Option<Change> {
        use TaskState::{Canceled, Completed, Dead, Open, Ready, Running, Scheduled};
        let (event, next) = match (command, self.state) {
            (Command::Create { delayed }, None) if self.version == 0 => {
                let state = if self.manual {
                    Open
                } else if delayed {
                    Scheduled
                } else {
                    Ready
                };
                (EventType::Created, self.to(state))
            }
            (Command::Due, Some(Scheduled)) => (EventType::Due, self.to(Ready)),
            (Command::Start, Some(Ready)) => (EventType::Started, Self { run: self.run + 1, ..self.to(Running) }),
            (Command::Return { run, counted }, Some(Running)) if run == self.run => {
                if counted || self.returns >= limits::RETURNS_UNCOUNTED_MAX {
                    let spent = Self { attempt: self.attempt + 1, ..self };
                    if spent.attempt >= self.attempts_max {
                        (EventType::Dead, spent.to(Dead))
                    } else {
                        (EventType::Returned, spent.to(Ready))
                    }
                } else {
                    (EventType::Returned, Self { returns: self.returns + 1, ..self.to(Ready) })
                }
            }
            (Command::Complete { run }, Some(Running)) if run == self.run => (EventType::Completed, self.to(Completed)),
            (Command::Fail { run, fatal }, Some(Running)) if run == self.run => {
                let spent = Self { attempt: self.attempt + 1, ..self };
                if fatal || spent.attempt >= self.attempts_max {
                    (EventType::Dead, spent.to(Dead))
                } else {
                    (EventType::Retrying, spent.to(Scheduled))
                }
            }
            (Command::CompleteByHand, Some(Open)) => (EventType::Completed, self.to(Completed)),
            (Command::Cancel, Some(Open | Scheduled | Ready | Running)) => (EventType::Canceled, self.to(Canceled)),
            (Command::Retry, Some(Dead | Canceled)) => {
                let state = if self.manual { Open } else { Ready };
                (EventType::Retrying, Self { attempt: 0, returns: 0, ..self.to(state) })
            }
            (Command::Update, Some(state)) => (EventType::Updated, self.to(state)),
            (Command::Delete, Some(state)) if state != Running => {
                (EventType::Deleted, Self { state: None, version: self.version + 1, ..self })
            }
            _ => return None,
        };
        Some(Change { event, from: self.state, life: next })
    }

    const fn to(self, state: TaskState) -> Self {
        Self { state: Some(state), version: self.version + 1, ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn command() -> impl Strategy<Value = Command> {
        prop_oneof![
            any::<bool>().prop_map(|delayed| Command::Create { delayed }),
            Just(Command::Due),
            Just(Command::Start),
            Just(Command::Start),
            (0..6u32, any::<bool>()).prop_map(|(run, counted)| Command::Return { run, counted }),
            (0..6u32).prop_map(|run| Command::Complete { run }),
            (0..6u32, any::<bool>()).prop_map(|(run, fatal)| Command::Fail { run, fatal }),
            Just(Command::CompleteByHand),
            Just(Command::Cancel),
            Just(Command::Retry),
            Just(Command::Update),
            Just(Command::Delete),
        ]
    }

    fn changes(manual: bool, commands: &[Command]) -> Vec<Change> {
        let mut life = Life::new(manual, 3);
        commands
            .iter()
            .filter_map(|command| {
                let change = life.apply(*command)?;
                life = change.life;
                Some(change)
            })
            .collect()
    }

    proptest! {
        #[test]
        fn no_order_of_commands_reaches_an_illegal_transition(
            manual in any::<bool>(), commands in prop::collection::vec(command(), 0..200),
        ) {
            use TaskState::{Canceled, Completed, Dead, Open, Ready, Running, Scheduled};
            let mut before = Life::new(manual, 3);
            for change in changes(manual, &commands) {
                let after = change.life;
                let allowed: &[Option<TaskState>] = match before.state {
                    None => &[Some(Open), Some(Scheduled), Some(Ready)],
                    Some(Open) => &[Some(Open), Some(Completed), Some(Canceled), None],
                    Some(Scheduled) => &[Some(Scheduled), Some(Ready), Some(Canceled), None],
                    Some(Ready) => &[Some(Ready), Some(Running), Some(Canceled), None],
                    Some(Running) => &[
                        Some(Running), Some(Ready), Some(Scheduled), Some(Completed), Some(Dead), Some(Canceled),
                    ],
                    Some(Completed) => &[Some(Completed), None],
                    Some(Dead) => &[Some(Dead), Some(Ready), Some(Open), None],
                    Some(Canceled) => &[Some(Canceled), Some(Ready), Some(Open), None],
                };
                prop_assert!(allowed.contains(&after.state), "{:?} to {:?}", before.state, after.state);
                prop_assert_eq!(after.version, before.version + 1);
                prop_assert!(after.run >= before.run, "a run number is never used twice");
                prop_assert!(after.attempt <= 3);
                prop_assert!(after.returns <= limits::RETURNS_UNCOUNTED_MAX);
                prop_assert!(!(manual && after.state == Some(Running)), "a manual task is never started");
                prop_assert_eq!(change.from, before.state);
                before = after;
            }
        }

        /// Each event carries the version and the state after it, so the latest by version is the task.
        #[test]
        fn any_interleaving_of_events_folds_to_the_same_task(
            commands in prop::collection::vec(command(), 1..60).prop_flat_map(|commands| {
                let seen = changes(false, &commands);
                (Just(seen.clone()), Just(seen).prop_shuffle())
            }),
        ) {
            let (in_order, shuffled) = commands;
            let folded = shuffled.iter().max_by_key(|change| change.life.version).map(|change| change.life);
            prop_assert_eq!(folded, in_order.last().map(|change| change.life));
        }
    }

    #[test]
    fn only_the_newest_run_may_report() {
        let running = [
            Command::Create { delayed: false },
            Command::Start,
            Command::Return { run: 1, counted: false },
            Command::Start,
        ]
        .into_iter()
        .fold(Life::new(false, 3), |life, command| life.apply(command).expect("allowed").life);
        assert_eq!(running.run, 2);
        assert!(running.apply(Command::Complete { run: 1 }).is_none());
        assert!(running.apply(Command::Complete { run: 2 }).is_some());
    }
}
