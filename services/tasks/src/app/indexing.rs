//! The reader of the event order that fills the search index, step by step. Any number of them may run: a step is done
//! by one.

use std::{collections::BTreeMap, time::Duration};

use chrono::Utc;
use sqlx::PgPool;
use taskyard_core::Position;
use taskyard_postgres::Failure;
use tokio::time::Instant;

use crate::{
    fault::{self, FaultPoint},
    store::{
        epoch, events,
        search_reader::{self, Place, Standing, TaskKey},
        search_write::{self, Asked, Change, Step},
    },
};

/// How long one step should take: while it is under way, nobody reads later events.
const STEP_TIME: Duration = Duration::from_millis(25);
/// Tasks of one step.
const TASKS_MAX: usize = 1_000;
/// Bytes of texts of one step.
const BYTES_MAX: i64 = 512 * 1024;
/// Events that one step goes through.
const EVENTS_MAX: i64 = 4_000;
/// What was there before is looked up by namespace and id: no step asks for more pairs.
const PAIRS_MAX: usize = 5_000;

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Tasks that were indexed.
    pub tasks: usize,
    /// There is more to be done at once.
    pub is_behind: bool,
    /// How old the last event is that was taken in, while there are more.
    pub lag_s: f64,
}

/// Fills the index.
#[derive(Debug)]
pub struct Indexer {
    pool: PgPool,
    /// Where the reader stands, as far as known.
    standing: Option<Standing>,
    /// Tasks of the next step.
    size: usize,
}

impl Indexer {
    pub const fn new(pool: PgPool) -> Self {
        Self { pool, standing: None, size: 200 }
    }

    /// Documents are gone through.
    pub fn is_filling(&self) -> bool {
        self.standing.is_some_and(|standing| standing.place.filled_to.is_some())
    }

    /// Begins to go through all documents.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn begin(&mut self) -> anyhow::Result<()> {
        loop {
            let standing = search_reader::search_reader_read(&self.pool).await?;
            if self.begin_at(standing).await? {
                self.standing = None;
                return Ok(());
            }
        }
    }

    async fn begin_at(&self, standing: Standing) -> Result<bool, sqlx::Error> {
        let position = events::event_newest(&self.pool).await?;
        let begun = search_reader::search_reader_begin(&self.pool, standing.place, position).await;
        fault::reach(FaultPoint::IndexCommitted);
        match begun {
            // Another has moved the reader at this moment.
            Err(error) if Failure::of(&error) == Failure::Repeat => Ok(false),
            begun => begun,
        }
    }

    /// Takes in the next events, and the next documents of a fill.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn step(&mut self) -> anyhow::Result<Progress> {
        if self.standing.is_none() {
            self.read().await?;
        }
        let Some(standing) = self.standing else {
            return Ok(Progress { is_behind: true, ..Progress::default() });
        };
        let events = self.follow(standing).await?;
        let documents = if self.is_filling() { self.fill().await? } else { Progress::default() };
        Ok(Progress {
            tasks: events.tasks + documents.tasks,
            is_behind: events.is_behind || documents.is_behind,
            lag_s: events.lag_s,
        })
    }

    /// Finds out where the reader stands. The first reader of all begins with the documents, and so does one that has
    /// read what this database knows nothing of.
    async fn read(&mut self) -> anyhow::Result<()> {
        let standing = search_reader::search_reader_read(&self.pool).await?;
        if !standing.is_new() && epoch::epoch_has_position(&self.pool, standing.place.position).await? {
            self.standing = Some(standing);
            return Ok(());
        }
        tracing::info!("the search index is made from the documents");
        self.begin_at(standing).await?;
        Ok(())
    }

    /// Takes in events.
    async fn follow(&mut self, standing: Standing) -> anyhow::Result<Progress> {
        let from = standing.place;
        let rows_max = i64::try_from(self.size * 4).unwrap_or(EVENTS_MAX).min(EVENTS_MAX);
        let mut seen = search_write::search_event_list(&self.pool, from.position, rows_max).await?;
        let is_full = seen.len() as i64 == rows_max;
        let fitting = fitting(seen.iter().map(|event| event.asked), self.size);
        let is_cut = fitting < seen.len();
        seen.truncate(fitting);
        let Some(last) = seen.last() else { return Ok(Progress::default()) };
        let (to, at) = (Place { position: last.position, ..from }, last.at);
        let asked = each_once(seen.iter().filter_map(|event| event.asked));
        let tasks = asked.len();
        let first = seen.iter().find_map(|event| event.asked.map(|asked| (asked.key, Reach::Event(event.position))));
        let step = Step { from, to, asked, filled: 0 };
        let moved = match self.write(&step).await? {
            Written::Yes => Some(to),
            Written::No => None,
            Written::Refused(error) => self.park(from, first, &error).await?,
        };
        self.move_to(moved);
        let is_behind = is_full || is_cut || moved != Some(to);
        let lag_s = if is_behind { (Utc::now() - at).as_seconds_f64().max(0.0) } else { 0.0 };
        Ok(Progress { tasks, is_behind, lag_s })
    }

    /// Goes through documents.
    async fn fill(&mut self) -> anyhow::Result<Progress> {
        let Some((standing, after)) = self.standing.and_then(|s| Some((s, s.place.filled_to?))) else {
            // Somebody else has moved the reader.
            return Ok(Progress { is_behind: true, ..Progress::default() });
        };
        let from = standing.place;
        let rows_max = i64::try_from(self.size)?;
        let mut asked = search_write::search_document_list(&self.pool, after, rows_max).await?;
        let is_full = asked.len() as i64 == rows_max;
        if !standing.is_whole {
            // Nothing of it can be there, but for what an event told of; its labels are the same.
            asked.iter_mut().for_each(|asked| asked.change = Change::New);
        }
        let fitting = fitting(asked.iter().map(|asked| Some(*asked)), self.size);
        let is_cut = fitting < asked.len();
        asked.truncate(fitting);
        let filled_to = asked.last().map(|asked| asked.key).filter(|_| is_full || is_cut);
        let to = Place { filled_to, ..from };
        let tasks = asked.len();
        let first = asked.first().map(|asked| (asked.key, Reach::Document));
        let step = Step { from, to, asked, filled: i64::try_from(tasks)? };
        let moved = match self.write(&step).await? {
            Written::Yes => Some(to),
            Written::No => None,
            Written::Refused(error) => self.park(from, first, &error).await?,
        };
        self.move_to(moved);
        if moved == Some(to) && filled_to.is_none() {
            tracing::info!("the search index has every task");
        }
        Ok(Progress { tasks, is_behind: moved != Some(to) || filled_to.is_some(), lag_s: 0.0 })
    }

    /// Writes a step, and learns from its time how large the next one may be.
    async fn write(&mut self, step: &Step) -> anyhow::Result<Written> {
        let begun = Instant::now();
        match search_write::search_step(&self.pool, step).await {
            Ok(moved) => {
                fault::reach(FaultPoint::IndexCommitted);
                let took = begun.elapsed();
                if took > STEP_TIME * 2 {
                    self.size = (step.asked.len() / 2).max(10).min(self.size);
                } else if took < STEP_TIME && step.asked.len() >= self.size {
                    self.size = (self.size * 3 / 2).min(TASKS_MAX);
                }
                Ok(if moved { Written::Yes } else { Written::No })
            }
            Err(error) => match Failure::of(&error) {
                Failure::BadRow | Failure::Fatal if step.asked.len() > 1 => {
                    // One of them cannot be indexed: it is looked for by ever smaller steps.
                    tracing::debug!(%error, tasks = step.asked.len(), "a step of the search index is cut up");
                    self.size = step.asked.len() / 2;
                    Ok(Written::No)
                }
                Failure::BadRow | Failure::Fatal => Ok(Written::Refused(error.to_string())),
                // Another has moved the reader at this moment.
                Failure::Repeat => Ok(Written::No),
                Failure::Unknown => {
                    self.standing = None;
                    Err(error.into())
                }
            },
        }
    }

    /// Parks the one task that a step was refused for.
    async fn park(&self, from: Place, task: Option<(TaskKey, Reach)>, error: &str) -> anyhow::Result<Option<Place>> {
        let Some((key, reach)) = task else { anyhow::bail!("the search index cannot be moved: {error}") };
        let to = match reach {
            Reach::Event(position) => Place { position, ..from },
            Reach::Document => Place { filled_to: Some(key), ..from },
        };
        tracing::error!(namespace = key.0, task = %key.1, error, "a task cannot be indexed; it is parked");
        let moved = search_write::search_task_park(&self.pool, (from, to), key, error).await?;
        fault::reach(FaultPoint::IndexCommitted);
        Ok(moved.then_some(to))
    }

    fn move_to(&mut self, place: Option<Place>) {
        // Where somebody else has moved it, or nobody, is read anew.
        self.standing = place.zip(self.standing).map(|(place, standing)| Standing {
            place,
            is_whole: standing.is_whole || place.filled_to.is_none(),
            ..standing
        });
    }
}

enum Written {
    Yes,
    /// Somebody else has moved the reader, or the step must be smaller.
    No,
    /// The one task that it was about cannot be indexed.
    Refused(String),
}

/// What parking moves the reader behind.
#[derive(Clone, Copy, Debug)]
enum Reach {
    Event(Position),
    Document,
}

/// How many of these fit into a step.
fn fitting(asked: impl Iterator<Item = Option<Asked>>, tasks_max: usize) -> usize {
    let (mut tasks, mut bytes, mut count) = (0, 0, 0);
    let mut changed: BTreeMap<i32, usize> = BTreeMap::new();
    for asked in asked {
        if let Some(asked) = asked {
            tasks += 1;
            bytes += asked.bytes;
            if asked.change == Change::Other {
                *changed.entry(asked.key.0).or_default() += 1;
            }
            let pairs = changed.len() * changed.values().sum::<usize>();
            if count > 0 && (tasks > tasks_max || bytes > BYTES_MAX || pairs > PAIRS_MAX) {
                break;
            }
        }
        count += 1;
    }
    count
}

/// Each task once; one that has changed is none that is only new.
fn each_once(asked: impl Iterator<Item = Asked>) -> Vec<Asked> {
    let mut known: BTreeMap<TaskKey, Asked> = BTreeMap::new();
    for asked in asked {
        let one = known.entry(asked.key).or_insert(asked);
        if asked.change == Change::Other {
            one.change = Change::Other;
        }
    }
    known.into_values().collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn asked(namespace: i32, change: Change, bytes: i64) -> Asked {
        Asked { key: (namespace, Uuid::now_v7()), change, bytes }
    }

    #[test]
    fn a_step_is_bounded_by_tasks_bytes_and_pairs() {
        let fits = |all: &[Asked], size| fitting(all.iter().map(|asked| Some(*asked)), size);
        assert_eq!(fits(&vec![asked(1, Change::New, 10); 500], 200), 200);
        assert_eq!(fits(&vec![asked(1, Change::New, 100_000); 500], 200), 5);
        assert_eq!(fits(&[asked(1, Change::New, i64::from(i32::MAX))], 200), 1, "one always fits");
        let many: Vec<Asked> = (0..500).map(|namespace| asked(namespace, Change::Other, 10)).collect();
        assert_eq!(fits(&many, 1_000), 70);
        assert_eq!(fitting([None, None].into_iter(), 1), 2, "events that change nothing fit");
    }

    #[test]
    fn a_task_is_indexed_once_a_step() {
        let one = asked(1, Change::New, 10);
        let once = each_once([one, Asked { change: Change::Other, ..one }, one].into_iter());
        assert_eq!(once.len(), 1);
        assert_eq!(once[0].change, Change::Other);
    }
}
