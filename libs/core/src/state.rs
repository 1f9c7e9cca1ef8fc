//! Where a task can stand.

use std::{fmt, str::FromStr};

/// Where a task stands. The numbers are those of the database and of `taskyard.v1.TaskState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum TaskState {
    /// A manual task, waiting for a person.
    Open = 1,
    /// Waiting for its time.
    Scheduled = 2,
    /// Waiting for a free worker.
    Ready = 3,
    /// A worker has it.
    Running = 4,
    /// Done.
    Completed = 5,
    /// Failed for good.
    Dead = 6,
    /// Canceled by somebody.
    Canceled = 7,
}

impl TaskState {
    /// All states.
    pub const ALL: [Self; 7] =
        [Self::Open, Self::Scheduled, Self::Ready, Self::Running, Self::Completed, Self::Dead, Self::Canceled];

    /// The state with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as i16 == number)
    }

    /// The name as it is written in REST, on the command line and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Dead => "dead",
            Self::Canceled => "canceled",
        }
    }

    /// The task has left the active ones.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Dead | Self::Canceled)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No state is written so.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a state; use open, scheduled, ready, running, completed, dead or canceled")]
pub struct UnknownState(String);

impl FromStr for TaskState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| UnknownState(text.to_owned()))
    }
}
