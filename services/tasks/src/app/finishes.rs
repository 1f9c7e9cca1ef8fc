//! Ends of runs: the results of all workers of this pod share a statement.

use sqlx::PgPool;
use taskyard_core::{Result, task::Namespace};
use taskyard_postgres::{Group, Verdict};
use taskyard_redis::{Cache, Change};
use uuid::Uuid;

use crate::{
    fault::{self, FaultPoint},
    metrics::TaskMetrics,
    store::finish::{self, Finish, Finished, Outcome, Reporter},
    wakes::Wakes,
};

/// What is told to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It is written, or was before.
    Recorded,
    /// The run is not the session's.
    Refused,
}

/// The group of finishes.
#[derive(Debug)]
pub struct Finishes {
    pool: PgPool,
    wakes: Wakes,
    cache: Cache,
    metrics: TaskMetrics,
}

impl Finishes {
    pub const fn new(pool: PgPool, wakes: Wakes, cache: Cache, metrics: TaskMetrics) -> Self {
        Self { pool, wakes, cache, metrics }
    }
}

impl Group for Finishes {
    type Item = Finish;
    type Answer = Report;
    type Key = (Namespace, Uuid);

    const NAME: &'static str = "finish";

    fn key(item: &Finish) -> Self::Key {
        (item.namespace, item.id)
    }

    fn bytes(item: &Finish) -> usize {
        128 + match &item.outcome {
            Outcome::Completed { result } => result.len(),
            Outcome::Failed { error, .. } => error.len(),
        }
    }

    async fn apply(&self, items: &[&Finish]) -> Result<Vec<Verdict<Report>>, sqlx::Error> {
        let finished = finish::task_finish_batch(&self.pool, Reporter::Worker, items).await?;
        fault::reach(FaultPoint::FinishCommitted);
        tell(&self.wakes, &self.metrics, items, &finished);
        // What was recorded before, too: perhaps it was this group that did it, and its answer was lost.
        let is_recorded =
            |finished: &Finished| matches!(finished, Finished::Recorded { .. } | Finished::RecordedBefore);
        let recorded = items.iter().zip(&finished).filter(|(_, finished)| is_recorded(finished));
        let changes: Vec<_> =
            recorded.map(|(item, _)| Change { namespace: item.namespace, id: Some(item.id), version: None }).collect();
        self.cache.outdate(&changes).await;
        let verdicts = finished.into_iter().map(|finished| match finished {
            Finished::Recorded { .. } | Finished::RecordedBefore => Verdict::Done(Report::Recorded),
            Finished::Refused => Verdict::Done(Report::Refused),
            Finished::Again => Verdict::Again,
        });
        Ok(verdicts.collect())
    }
}

/// Tells the leader, and counts.
pub fn tell(wakes: &Wakes, metrics: &TaskMetrics, items: &[&Finish], finished: &[Finished]) {
    let mut earliest_due = None;
    let recorded = items.iter().zip(finished).filter_map(|(item, finished)| match finished {
        Finished::Recorded { to, queue, due_at } => {
            metrics.finished(*to);
            if let Some(due_at) = due_at {
                earliest_due = Some(earliest_due.map_or(*due_at, |earliest| (*due_at).min(earliest)));
            }
            Some((item.namespace, queue.as_str(), item.id, item.run))
        }
        _ => None,
    });
    let recorded: Vec<_> = recorded.collect();
    if !recorded.is_empty() {
        wakes.ended(recorded);
    }
    if let Some(due_at) = earliest_due {
        wakes.scheduled(due_at);
    }
}
