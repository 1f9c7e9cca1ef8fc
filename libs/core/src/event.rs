//! What happens to tasks, and the order in which it is told.

use std::{fmt, str::FromStr};

/// What happened. The numbers are those of the database and of `taskyard.v1.EventType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum EventType {
    /// The task was created.
    Created = 1,
    /// Its time has come.
    Due = 2,
    /// A run was started.
    Started = 3,
    /// A run ended without a report; the task is ready again.
    Returned = 4,
    /// A run failed; another attempt is scheduled.
    Retrying = 5,
    /// Done.
    Completed = 6,
    /// Failed for good.
    Dead = 7,
    /// Canceled.
    Canceled = 8,
    /// Texts, labels, priority or time were changed, or it was revived.
    Updated = 9,
    /// Deleted.
    Deleted = 10,
}

impl EventType {
    /// All types.
    pub const ALL: [Self; 10] = [
        Self::Created,
        Self::Due,
        Self::Started,
        Self::Returned,
        Self::Retrying,
        Self::Completed,
        Self::Dead,
        Self::Canceled,
        Self::Updated,
        Self::Deleted,
    ];

    /// The type with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i16 == number)
    }

    /// The name as it is written in REST and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "task.created",
            Self::Due => "task.due",
            Self::Started => "task.started",
            Self::Returned => "task.returned",
            Self::Retrying => "task.retrying",
            Self::Completed => "task.completed",
            Self::Dead => "task.dead",
            Self::Canceled => "task.canceled",
            Self::Updated => "task.updated",
            Self::Deleted => "task.deleted",
        }
    }
}

/// A place in the event order: the epoch (a restored database begins a new one), the transaction, the number within.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Changes when the database was restored.
    pub epoch: i32,
    /// The transaction's id.
    pub xact: i64,
    /// Grows within the transaction.
    pub seq: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch, self.xact, self.seq)
    }
}

/// The text is not a position.
#[derive(Debug, thiserror::Error)]
#[error("is not a position of this API")]
pub struct NotAPosition;

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |part: &str| part.parse::<i64>().ok().filter(|number| *number >= 0).ok_or(NotAPosition);
        let mut parts = text.split('.');
        let (Some(epoch), Some(xact), Some(seq), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAPosition);
        };
        let epoch = i32::try_from(number(epoch)?).map_err(|_| NotAPosition)?;
        Ok(Self { epoch, xact: number(xact)?, seq: number(seq)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_position_survives_its_text(epoch in 0..i32::MAX, xact in 0..i64::MAX, seq in 0..i64::MAX) {
            let position = Position { epoch, xact, seq };
            prop_assert_eq!(position.to_string().parse::<Position>().ok(), Some(position));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert!(position.epoch >= 0 && position.xact >= 0 && position.seq >= 0);
            }
        }

        #[test]
        fn the_order_is_epoch_then_transaction_then_number(
            a in (0..3i32, 0..3i64, 0..3i64), b in (0..3i32, 0..3i64, 0..3i64),
        ) {
            let position = |(epoch, xact, seq)| Position { epoch, xact, seq };
            prop_assert_eq!(position(a).cmp(&position(b)), a.cmp(&b));
        }
    }
}
