//! What a test expects of each task, compared with what happened to it.

use std::collections::HashMap;

use taskyard_core::{EventType, TaskState};
use taskyard_tests::History;
use uuid::Uuid;

/// What must have become of a task.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// Where it may stand in the end; empty: it was deleted.
    pub ends: &'static [TaskState],
    /// How often it ended: more than once only if it was revived.
    pub ended: usize,
    /// The attempts that were spent; none if that is not for the test to say.
    pub attempts: Option<usize>,
}

impl Fate {
    /// Done at last, after so many failures.
    pub const fn completed(failures: usize) -> Self {
        Self { ends: &[TaskState::Completed], ended: 1, attempts: Some(failures) }
    }

    /// Done at last, whatever it took.
    pub const fn completed_somehow() -> Self {
        Self { ends: &[TaskState::Completed], ended: 1, attempts: None }
    }

    /// Given up, after so many failures.
    pub const fn dead(failures: usize) -> Self {
        Self { ends: &[TaskState::Dead], ended: 1, attempts: Some(failures) }
    }

    pub const CANCELED: Self = Self { ends: &[TaskState::Canceled], ended: 1, attempts: Some(0) };
    pub const DELETED: Self = Self { ends: &[], ended: 0, attempts: Some(0) };
}

/// Everything that is wrong: a break of the order, or a task that was lost, came about twice, ended otherwise or more
/// often than it should, ran without a start of its own, or has spent other attempts than were owed.
pub fn faults(history: &History, fates: &HashMap<Uuid, Fate>) -> Vec<String> {
    let mut faults = history.faults();
    for (id, fate) in fates {
        let life = history.of(*id);
        let count = |wanted: &[EventType]| {
            life.iter().filter(|event| wanted.iter().any(|wanted| *wanted as i16 == event.event_type)).count()
        };
        let ended = count(&[EventType::Completed, EventType::Dead, EventType::Canceled]);
        let last = life.last().and_then(|event| event.to_state).and_then(TaskState::from_number);
        let starts = life.iter().filter(|event| event.event_type == EventType::Started as i16);
        let runs: Vec<i32> = starts.map(|event| event.run).collect();
        let attempts = life.iter().filter(|event| event.is_counted).count();
        let is_last_right = match last {
            Some(last) => fate.ends.contains(&last),
            None => fate.ends.is_empty() && count(&[EventType::Deleted]) == 1,
        };
        let wrong = if count(&[EventType::Created]) != 1 {
            "created once"
        } else if !is_last_right {
            "where it should stand"
        } else if ended != fate.ended {
            "ended as often as it should"
        } else if !runs.iter().copied().eq((1..).take(runs.len())) {
            "with a number of its own for each run"
        } else if fate.attempts.is_some_and(|owed| owed != attempts) {
            "at the attempts that it owes"
        } else {
            continue;
        };
        faults.push(format!("{id} is not {wrong}: {fate:?}, {last:?}, {attempts} attempts: {life:#?}"));
    }
    faults
}

/// Fails with the first faults.
#[track_caller]
pub fn assert_none(faults: Vec<String>) {
    let shown: Vec<&String> = faults.iter().take(5).collect();
    assert!(faults.is_empty(), "{} faults, the first of which are {shown:#?}", faults.len());
}
