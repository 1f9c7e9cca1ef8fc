//! Schedules: when tasks are made again and again, what each tick makes, and what becomes of ticks that were missed.
//! Pure: the database's clock comes in as a value.

mod clock;
pub mod cron;
mod due;
mod times;

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};

pub use self::{
    clock::{parse_zone, zone_name},
    cron::CronExpression,
    due::{Plan, TickKind, plan},
    times::{Times, When},
};
use crate::RetryPolicy;

/// The label that names a task's schedule.
pub const LABEL_SCHEDULE: &str = "taskyard.schedule";
/// The label that names the tick at which its schedule made a task; none if a person ran the schedule.
pub const LABEL_TICK: &str = "taskyard.tick";
/// Labels that begin so are ours.
pub const LABEL_PREFIX: &str = "taskyard.";

/// What becomes of ticks that nobody could fire in time: the service was down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// They are passed over.
    Skip,
    /// One task in place of all of them.
    Once,
    /// A task for each of the newest, at most so many.
    All(u32),
}

/// What a tick does while the last task of its schedule is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It makes a task all the same.
    Allow,
    /// It is passed over.
    Skip,
}

/// The task that each tick makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The queue.
    pub queue: String,
    /// What a worker must know how to run.
    pub kind: String,
    /// The title.
    pub title: String,
    /// The description.
    pub description: String,
    /// A JSON document.
    pub payload: Vec<u8>,
    /// Labels; two of ours are added.
    pub labels: BTreeMap<String, String>,
    /// 0 to 9, higher first.
    pub priority: u8,
    /// The longest that one run may take.
    pub timeout: Duration,
    /// How often and how fast it is tried again.
    pub retry: RetryPolicy,
}

/// A schedule as a person wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// When it ticks.
    pub times: Times,
    /// What becomes of missed ticks.
    pub catch_up: CatchUp,
    /// What a tick does while the last task is not finished.
    pub overlap: Overlap,
    /// Each task starts a random time of up to this after its tick.
    pub jitter: Duration,
    /// What each tick makes.
    pub task: Template,
}

/// A tick in a schedule's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The time that the schedule names; of a run by hand, when that was.
    pub at: DateTime<Utc>,
    /// What became of it.
    pub kind: TickKind,
    /// When that was.
    pub fired_at: DateTime<Utc>,
    /// The task that it made.
    pub task: Option<uuid::Uuid>,
}

/// A schedule as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The name, which is also its id.
    pub name: String,
    /// What a person wants.
    pub definition: Definition,
    /// It does not tick.
    pub paused: bool,
    /// Grows with every change by a person; ticks do not change it.
    pub version: u32,
    /// Who created it.
    pub creator: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When a person changed it last.
    pub updated_at: DateTime<Utc>,
    /// Its next tick; none if it is paused or over.
    pub next_at: Option<DateTime<Utc>>,
    /// The last task that it made.
    pub last_task: Option<uuid::Uuid>,
    /// The newest ticks, newest first, where they were asked for.
    pub ticks: Vec<Tick>,
}

impl Schedule {
    /// The next ticks, at most so many.
    #[must_use]
    pub fn next_times(&self, count: usize) -> Vec<DateTime<Utc>> {
        let Some(first) = self.next_at else { return Vec::new() };
        std::iter::successors(Some(first), |last| self.definition.times.next_after(*last)).take(count).collect()
    }
}
