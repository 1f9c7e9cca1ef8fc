//! What is to be done about ticks whose time has come.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use super::{CatchUp, Overlap, Times, times::just_before};
use crate::limits;

/// What became of a tick. The numbers stand in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum TickKind {
    /// It made a task.
    OnTime = 1,
    /// It was missed and made a task afterwards.
    CaughtUp = 2,
    /// No tick: a person ran the schedule.
    ByHand = 3,
    /// It was missed and passed over.
    Missed = 4,
    /// It was passed over because the last task was not finished.
    Overlapped = 5,
    /// It was passed over because its namespace had as many tasks as it may.
    OverQuota = 6,
}

impl TickKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::OnTime, Self::CaughtUp, Self::ByHand, Self::Missed, Self::Overlapped, Self::OverQuota];

    /// Its number in the database.
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// The one with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Its name, as it is written in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnTime => "on_time",
            Self::CaughtUp => "caught_up",
            Self::ByHand => "by_hand",
            Self::Missed => "missed",
            Self::Overlapped => "overlapped",
            Self::OverQuota => "over_quota",
        }
    }

    /// It makes a task.
    #[must_use]
    pub const fn makes_task(self) -> bool {
        matches!(self, Self::OnTime | Self::CaughtUp | Self::ByHand)
    }
}

/// What is to be done about a schedule whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its ticks in order, and what shall become of each.
    pub ticks: Vec<(DateTime<Utc>, TickKind)>,
    /// Its next tick; none if it is over.
    pub next_at: Option<DateTime<Utc>>,
}

/// What is to be done about a schedule whose next tick was to come at `next_at`.
///
/// A tick that is at most [`limits::TICK_LATE_MAX`] late is on time, whatever the policy: so no change of leader loses
/// one. Older ones were missed. At most [`limits::TICKS_MISSED_SHOWN`] of those that are passed over go into the
/// history.
#[must_use]
pub fn plan(times: &Times, catch_up: CatchUp, overlap: Overlap, next_at: DateTime<Utc>, now: DateTime<Utc>) -> Plan {
    let late_max = TimeDelta::from_std(limits::TICK_LATE_MAX).unwrap_or_default();
    let on_time_from = now - late_max;
    let mut next = if next_at < on_time_from { times.next_after(just_before(on_time_from)) } else { Some(next_at) };
    let mut on_time = Vec::new();
    while let Some(tick) = next.filter(|tick| *tick <= now) {
        on_time.push((tick, TickKind::OnTime));
        next = times.next_after(tick);
    }
    let shown = limits::TICKS_MISSED_SHOWN as usize;
    let caught_up_max = match catch_up {
        CatchUp::Skip => 0,
        CatchUp::Once => usize::from(on_time.is_empty()),
        CatchUp::All(most) => most as usize,
    };
    let missed = newest(times, next_at, just_before(on_time_from), caught_up_max.max(shown));
    let passed_over = missed.len().saturating_sub(caught_up_max);
    let kind = |number: usize| if number < passed_over { TickKind::Missed } else { TickKind::CaughtUp };
    let mut ticks: Vec<_> = missed.into_iter().enumerate().map(|(number, tick)| (tick, kind(number))).collect();
    ticks.append(&mut on_time);
    if overlap == Overlap::Skip {
        // They are handled at one moment: the newest one stands for all.
        for (_, kind) in ticks.iter_mut().rev().filter(|(_, kind)| kind.makes_task()).skip(1) {
            *kind = TickKind::Overlapped;
        }
    }
    Plan { ticks, next_at: next }
}

/// The newest ticks of a span, at most so many, the oldest first. What lies far back is not walked through.
fn newest(times: &Times, from: DateTime<Utc>, to: DateTime<Utc>, count: usize) -> VecDeque<DateTime<Utc>> {
    let mut width = TimeDelta::minutes(1);
    loop {
        let begin = from.max(to - width);
        let mut found = VecDeque::with_capacity(count + 1);
        let mut next = times.next_after(just_before(begin));
        while let Some(tick) = next.filter(|tick| *tick <= to) {
            found.push_back(tick);
            if found.len() > count {
                found.pop_front();
            }
            next = times.next_after(tick);
        }
        if found.len() == count || begin == from {
            return found;
        }
        width = width * 4;
    }
}

#[cfg(test)]
mod tests;
