//! Ready tasks in the leader's memory: the best few of each queue and kind, in exact order.
//!
//! What a lane keeps is complete up to its *horizon*: no ready task that sorts before it is missing, except one whose
//! wake was lost, which the slow poll brings. Behind the horizon lies what did not fit.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use taskyard_core::task::Namespace;
use uuid::Uuid;

use crate::store::ready::ReadyTask;

/// Tasks that a lane keeps.
pub const LANE_TASKS_MAX: usize = 4_000;
/// A lane with fewer is refilled if more lie behind its horizon.
pub const LANE_TASKS_LOW: usize = 1_000;

/// Which tasks share a lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneKey {
    pub namespace: Namespace,
    pub queue: String,
    pub kind: String,
}

/// A task's place in its lane: higher priority first, then earlier, then by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// 9 for priority 0, 0 for priority 9: the order of numbers is the order of starts.
    pub inverse_priority: i16,
    pub due_at: DateTime<Utc>,
    pub id: Uuid,
}

impl Rank {
    pub fn of(task: &ReadyTask) -> Self {
        Self { inverse_priority: 9 - task.priority, due_at: task.due_at, id: task.id }
    }

    pub const fn priority(&self) -> i16 {
        9 - self.inverse_priority
    }
}

/// What a start needs to know of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub version: i32,
    pub payload_bytes: u64,
}

/// The best ready tasks of one queue and kind.
#[derive(Debug, Default)]
pub struct Lane {
    tasks: BTreeMap<Rank, Waiting>,
    ranks: HashMap<Uuid, Rank>,
    /// The last rank up to which nothing is missing; none: nothing is missing at all.
    horizon: Option<Rank>,
    /// Whether the lane was ever filled from the database.
    is_filled: bool,
}

impl Lane {
    /// The best task.
    pub fn first(&self) -> Option<(Rank, Waiting)> {
        self.tasks.first_key_value().map(|(rank, waiting)| (*rank, *waiting))
    }

    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether to read on in the database.
    pub fn wants_refill(&self) -> bool {
        !self.is_filled || (self.horizon.is_some() && self.tasks.len() < LANE_TASKS_LOW)
    }

    /// Where to read on: behind what is known. None: from the beginning.
    pub fn refill_after(&self) -> Option<Rank> {
        self.horizon.filter(|_| self.is_filled)
    }

    /// A task became ready, or is ready at a newer version.
    pub fn insert(&mut self, task: &ReadyTask) {
        let rank = Rank::of(task);
        let waiting =
            Waiting { version: task.version, payload_bytes: task.payload_bytes.max(0).cast_unsigned().into() };
        if let Some(known) = self.ranks.get(&task.id).copied() {
            // A late wake does not bring back an older version.
            if self.tasks.get(&known).is_some_and(|known| known.version > waiting.version) {
                return;
            }
            self.tasks.remove(&known);
            self.ranks.remove(&task.id);
        }
        if !self.is_filled || self.horizon.is_some_and(|horizon| rank > horizon) {
            // It will be found when the database is read up to there.
            return;
        }
        self.tasks.insert(rank, waiting);
        self.ranks.insert(task.id, rank);
        self.trim();
    }

    /// What the database gave behind `after`, in order; `is_all` if nothing lies behind it.
    pub fn refill(&mut self, tasks: &[ReadyTask], is_all: bool) {
        self.is_filled = true;
        self.horizon = if is_all { None } else { tasks.last().map(Rank::of).or(self.horizon) };
        for task in tasks {
            self.insert(task);
        }
    }

    /// Takes a task out.
    pub fn remove(&mut self, id: Uuid) -> Option<Rank> {
        let rank = self.ranks.remove(&id)?;
        self.tasks.remove(&rank);
        Some(rank)
    }

    fn trim(&mut self) {
        while self.tasks.len() > LANE_TASKS_MAX {
            if let Some((rank, _)) = self.tasks.pop_last() {
                self.ranks.remove(&rank.id);
            }
            self.horizon = self.tasks.last_key_value().map(|(rank, _)| *rank);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn task(n: u8, priority: i16, due_s: i64) -> ReadyTask {
        ReadyTask {
            namespace: 1,
            id: Uuid::from_u128(u128::from(n)),
            queue: "q".into(),
            kind: "k".into(),
            priority,
            due_at: DateTime::from_timestamp(due_s, 0).unwrap(),
            version: 1,
            payload_bytes: 0,
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A task becomes ready and its wake arrives.
        Wake(u8, i16, i64),
        /// The best task is started.
        Start,
        /// The lane reads on in the database, at most so many rows.
        Refill(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (any::<u8>(), 0..10i16, 0..20i64).prop_map(|(n, priority, due)| Step::Wake(n, priority, due)),
            3 => Just(Step::Start),
            1 => (1..8usize).prop_map(Step::Refill),
        ]
    }

    proptest! {
        /// Whatever the order of wakes, refills and starts: what is started is the best of all that is ready.
        #[test]
        fn the_first_is_the_best_of_all(steps in prop::collection::vec(step(), 0..200), already in 0..40u8) {
            let mut database: BTreeMap<Rank, ReadyTask> =
                (0..already).map(|n| task(n, i16::from(n) % 10, i64::from(n) % 7)).map(|task| (Rank::of(&task), task)).collect();
            let mut lane = Lane::default();
            for step in steps {
                match step {
                    Step::Wake(n, priority, due) => {
                        let task = task(n, priority, due);
                        if database.values().any(|known| known.id == task.id) {
                            continue;
                        }
                        database.insert(Rank::of(&task), task.clone());
                        lane.insert(&task);
                    }
                    Step::Refill(rows) => {
                        if !lane.wants_refill() {
                            continue;
                        }
                        let after = lane.refill_after();
                        let behind: Vec<ReadyTask> = database
                            .iter()
                            .filter(|(rank, _)| after.is_none_or(|after| **rank > after))
                            .map(|(_, task)| task.clone())
                            .take(rows)
                            .collect();
                        lane.refill(&behind, behind.len() < rows);
                    }
                    Step::Start => {
                        if let Some((rank, _)) = lane.first() {
                            prop_assert_eq!(Some(&rank), database.keys().next());
                            database.remove(&rank);
                            lane.remove(rank.id);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_full_lane_keeps_the_best_and_reads_the_rest_later() {
        let mut lane = Lane::default();
        lane.refill(&[], true);
        for n in 0..LANE_TASKS_MAX + 10 {
            let mut task = task(0, 5, i64::try_from(n).unwrap());
            task.id = Uuid::from_u128(n as u128);
            lane.insert(&task);
        }
        assert_eq!(lane.len(), LANE_TASKS_MAX);
        assert_eq!(lane.refill_after().unwrap().id, Uuid::from_u128(LANE_TASKS_MAX as u128 - 1));
    }
}
