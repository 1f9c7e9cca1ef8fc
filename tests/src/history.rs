//! What happened to all tasks, as the database has it.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use sqlx::PgPool;
use taskyard_core::Position;
use uuid::Uuid;

/// One event.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Happened {
    pub epoch: i32,
    pub xact: i64,
    pub seq: i64,
    #[sqlx(rename = "task_id")]
    pub task: Uuid,
    pub version: i32,
    pub run: i32,
    #[sqlx(rename = "type")]
    pub event_type: i16,
    pub from_state: Option<i16>,
    pub to_state: Option<i16>,
    pub attempt: i16,
    pub is_counted: bool,
    pub queue: String,
    pub reason: Option<String>,
}

impl Happened {
    pub const fn position(&self) -> Position {
        Position { epoch: self.epoch, xact: self.xact, seq: self.seq }
    }
}

/// All events in the order of their positions, and how tasks stand.
#[derive(Debug)]
pub struct History {
    pub events: Vec<Happened>,
    /// Places in `events`.
    by_task: BTreeMap<Uuid, Vec<usize>>,
    /// Version and attempt of each task that is there.
    rows: HashMap<Uuid, (i32, i16)>,
}

impl History {
    /// Reads all in one snapshot.
    pub async fn read(pool: &PgPool) -> Result<Self> {
        let mut transaction = pool.begin_with("begin isolation level repeatable read").await?;
        let events: Vec<Happened> =
            sqlx::query_as("select * from tasks.events order by epoch, xact, seq").fetch_all(&mut *transaction).await?;
        let rows: Vec<(Uuid, i32, i16)> = sqlx::query_as(
            "select id, version, attempt from tasks.active union all select id, version, attempt from tasks.finished",
        )
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let mut by_task: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        for (place, event) in events.iter().enumerate() {
            by_task.entry(event.task).or_default().push(place);
        }
        let rows = rows.into_iter().map(|(id, version, attempt)| (id, (version, attempt))).collect();
        Ok(Self { events, by_task, rows })
    }

    pub fn of(&self, task: Uuid) -> Vec<&Happened> {
        self.by_task.get(&task).into_iter().flatten().map(|place| &self.events[*place]).collect()
    }

    pub fn positions(&self) -> Vec<Position> {
        self.events.iter().map(Happened::position).collect()
    }

    /// The reasons of returns and ends that no worker reported, with how often each came.
    pub fn reasons(&self) -> BTreeMap<&str, usize> {
        let mut reasons = BTreeMap::new();
        for reason in self.events.iter().filter_map(|event| event.reason.as_deref()) {
            *reasons.entry(reason).or_default() += 1;
        }
        reasons
    }

    /// The most runs that a queue ever had at once.
    pub fn most_running(&self, queue: &str) -> usize {
        let mut running = HashSet::new();
        let mut most = 0;
        for event in self.events.iter().filter(|event| event.queue == queue) {
            if event.to_state == Some(4) {
                running.insert(event.task);
            } else {
                running.remove(&event.task);
            }
            most = most.max(running.len());
        }
        most
    }

    /// Breaks of the order: a task's versions are 1, 2, 3… in the order of positions, each event begins where the one
    /// before it ended, and the row stands where the last one left it.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (task, places) in &self.by_task {
            let life = || places.iter().map(|place| &self.events[*place]);
            let mut state = None;
            for (number, event) in (1..).zip(life()) {
                if event.version != number || event.from_state != state {
                    faults.push(format!("{task}: out of order: {:?}", life().collect::<Vec<_>>()));
                    break;
                }
                state = event.to_state;
            }
            let last = life().next_back();
            let row = self.rows.get(task);
            // A deleted task has no row.
            if state.is_some() && row != last.map(|last| (last.version, last.attempt)).as_ref() {
                faults.push(format!("{task}: the row has {row:?}, the last event is {last:?}"));
            }
        }
        faults.extend(self.rows.keys().filter(|id| !self.by_task.contains_key(id)).map(|id| format!("{id}: no event")));
        faults
    }
}
