//! What people do to all tasks that match: chunk after chunk, until a list of them is empty.
//!
//! A chunk is listed, then changed by one statement that takes only what still stands so. What it left, because another
//! statement had it at that moment, is listed again from the same place: at the end nothing that matched all the while
//! is left out. Repeated, a sweep goes on with what is left.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use taskyard_core::{
    Error, Result, TaskState, limits,
    task::{Filter, Namespace, Order},
};
use taskyard_postgres::failure;
use taskyard_proto::{internal::StopRun, v1::StopReason};
use uuid::Uuid;

use super::{
    App,
    commands::{checked_result, reason_of, settled},
};
use crate::{
    fault::{self, FaultPoint},
    store::{commands, commands::Canceled, list, sweeps},
};

/// Tasks of one statement.
const CHUNK: u32 = 200;
/// Bytes of results that one statement writes.
const CHUNK_BYTES_MAX: usize = 4 << 20;
/// How often in a row a chunk may change nothing although tasks match.
const STUCK_MAX: u32 = 100;
/// What can be canceled.
const ACTIVE: [TaskState; 4] = [TaskState::Open, TaskState::Scheduled, TaskState::Ready, TaskState::Running];

/// A command for all tasks that match, and how far it has come.
#[derive(Debug)]
pub struct Sweep {
    command: Command,
    filter: Filter,
    chunk: u32,
    after: Option<list::Cursor>,
    stuck: u32,
}

#[derive(Debug)]
enum Command {
    Retry,
    Cancel { reason: Option<String> },
    Complete { result: Vec<u8> },
}

impl Sweep {
    /// Retries dead tasks.
    ///
    /// # Errors
    /// If the filter names other states.
    pub fn retry(filter: Filter) -> Result<Self> {
        let filter = in_states(filter, &[TaskState::Dead], "only dead tasks are retried by filter")?;
        Ok(Self::new(Command::Retry, filter, CHUNK))
    }

    /// Cancels waiting and running tasks.
    ///
    /// # Errors
    /// If the filter names nothing, or finished states.
    pub fn cancel(filter: Filter, reason: &str) -> Result<Self> {
        let filter = in_states(named(filter)?, &ACTIVE, "a finished task cannot be canceled")?;
        Ok(Self::new(Command::Cancel { reason: reason_of(reason) }, filter, CHUNK))
    }

    /// Completes manual tasks, all with the same result.
    ///
    /// # Errors
    /// If the filter names nothing, or other states, or the result is no JSON document.
    pub fn complete(filter: Filter, result: &[u8]) -> Result<Self> {
        let filter = in_states(named(filter)?, &[TaskState::Open], "only open tasks are completed by hand")?;
        let result = checked_result(result)?.to_vec();
        let fitting = u32::try_from(CHUNK_BYTES_MAX / result.len().max(1)).unwrap_or(CHUNK);
        Ok(Self::new(Command::Complete { result }, filter, fitting.clamp(1, CHUNK)))
    }

    fn new(command: Command, mut filter: Filter, chunk: u32) -> Self {
        // Not what is created while it goes on, or it might never end.
        let ahead = TimeDelta::from_std(limits::ID_AHEAD_MAX).unwrap_or_default();
        let end = Utc::now() + ahead;
        filter.created_before = Some(filter.created_before.map_or(end, |before| before.min(end)));
        Self { command, filter, chunk, after: None, stuck: 0 }
    }
}

/// The filter with the states that a command takes, all of them if it names none.
fn in_states(filter: Filter, allowed: &[TaskState], rule: &str) -> Result<Filter> {
    if filter.states.is_empty() {
        return Ok(Filter { states: allowed.to_vec(), ..filter });
    }
    if filter.states.iter().all(|state| allowed.contains(state)) {
        return Ok(filter);
    }
    let names: Vec<_> = allowed.iter().map(|state| state.as_str()).collect();
    Err(Error::invalid("filter.states", format!("{rule}; leave it empty or say {}", names.join(", "))))
}

/// Nobody shall end every task of a namespace by leaving something out.
fn named(filter: Filter) -> Result<Filter> {
    if filter == Filter::default() {
        let message = "names nothing; it must name states, a queue, a kind, a label, a creator or a time. To mean all, name all states";
        return Err(Error::invalid("filter", message));
    }
    Ok(filter)
}

impl App {
    /// The next chunk of a sweep. Returns how many tasks it changed, and whether that was all.
    ///
    /// # Errors
    /// If the database cannot be reached. What was changed stays so.
    pub async fn sweep(&self, namespace: Namespace, sweep: &mut Sweep) -> Result<(u64, bool)> {
        self.check_index_for(&sweep.filter).await?;
        let page = list::task_list(&self.pool, namespace, &sweep.filter, Order::CreatedAsc, sweep.after, sweep.chunk)
            .await
            .map_err(failure::to_error)?;
        let ids: Vec<Uuid> = page.tasks.iter().map(|task| task.id).collect();
        let changed = match &sweep.command {
            _ if ids.is_empty() => 0,
            Command::Retry => self.retry_chunk(namespace, &ids).await?,
            Command::Cancel { reason } => {
                self.cancel_chunk(namespace, &ids, &sweep.filter.states, reason.as_deref()).await?
            }
            Command::Complete { result } => self.complete_chunk(namespace, &ids, result).await?,
        };
        if changed > 0 {
            self.outdate(namespace, &ids).await;
        }
        if changed == ids.len() {
            (sweep.after, sweep.stuck) = (page.next, 0);
            return Ok((changed as u64, page.next.is_none()));
        }
        // What is left is listed again, if it still matches.
        sweep.stuck = if changed == 0 { sweep.stuck + 1 } else { 0 };
        if sweep.stuck > STUCK_MAX {
            return Err(Error::unavailable("tasks that match change too fast; try again"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok((changed as u64, false))
    }

    async fn retry_chunk(&self, namespace: Namespace, ids: &[Uuid]) -> Result<usize> {
        self.quotas.look(namespace).await;
        for _ in ids {
            self.quotas.admit(namespace, 0)?;
        }
        let revived = commands::task_revive_batch(&self.pool, namespace, ids, None).await;
        let Some((ready, count)) = settled(revived.map(Some))? else { return Ok(0) };
        fault::reach(FaultPoint::CommandCommitted);
        self.wakes.ready(ready);
        Ok(count)
    }

    async fn cancel_chunk(
        &self,
        namespace: Namespace,
        ids: &[Uuid],
        states: &[TaskState],
        reason: Option<&str>,
    ) -> Result<usize> {
        let canceled = sweeps::task_cancel_batch(&self.pool, namespace, ids, states, reason).await;
        let Some(canceled) = settled(canceled.map(Some))? else { return Ok(0) };
        fault::reach(FaultPoint::CancelCommitted);
        let ended = canceled.iter().filter_map(|(id, it)| Some((namespace, it.queue.as_str(), *id, it.run?.0)));
        self.wakes.ended(ended);
        for (pod, runs) in stops(&canceled) {
            self.tell_stops(pod, runs).await;
        }
        self.metrics.finished_many(TaskState::Canceled, canceled.len());
        Ok(canceled.len())
    }

    async fn complete_chunk(&self, namespace: Namespace, ids: &[Uuid], result: &[u8]) -> Result<usize> {
        let completed = sweeps::task_complete_batch(&self.pool, namespace, ids, result).await;
        let Some(count) = settled(completed.map(Some))? else { return Ok(0) };
        fault::reach(FaultPoint::CommandCommitted);
        self.wakes.events();
        self.metrics.finished_many(TaskState::Completed, count);
        Ok(count)
    }
}

/// The runs that have to be stopped, by the pod of their worker.
fn stops(canceled: &[(Uuid, Canceled)]) -> std::collections::BTreeMap<&str, Vec<StopRun>> {
    let mut stops = std::collections::BTreeMap::<_, Vec<_>>::new();
    for (id, canceled) in canceled {
        if let (Some((run, session)), Some(pod)) = (canceled.run, &canceled.pod) {
            stops.entry(pod.as_str()).or_default().push(StopRun {
                id: id.as_bytes().to_vec().into(),
                run,
                session: session.as_bytes().to_vec().into(),
                reason: StopReason::Canceled.into(),
            });
        }
    }
    stops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_takes_its_own_states_and_a_filter_that_names_something() {
        let states = |states: &[TaskState]| Filter { states: states.to_vec(), ..Filter::default() };
        let queue = || Filter { queue: Some("mail".into()), ..Filter::default() };
        let field = |wrong: Result<Sweep>| wrong.unwrap_err().violations[0].field.clone();
        assert_eq!(Sweep::retry(Filter::default()).unwrap().filter.states, [TaskState::Dead]);
        assert_eq!(field(Sweep::retry(states(&[TaskState::Dead, TaskState::Open]))), "filter.states");
        assert_eq!(Sweep::cancel(queue(), "").unwrap().filter.states, ACTIVE);
        assert_eq!(Sweep::cancel(states(&[TaskState::Ready]), "").unwrap().filter.states, [TaskState::Ready]);
        assert_eq!(field(Sweep::cancel(states(&[TaskState::Dead]), "")), "filter.states");
        assert_eq!(field(Sweep::cancel(Filter::default(), "")), "filter");
        assert_eq!(Sweep::complete(queue(), b"").unwrap().filter.states, [TaskState::Open]);
        assert_eq!(field(Sweep::complete(Filter::default(), b"")), "filter");
        assert_eq!(field(Sweep::complete(states(&[TaskState::Ready]), b"")), "filter.states");
        assert_eq!(field(Sweep::complete(queue(), b"{")), "result");
    }

    #[test]
    fn large_results_make_small_chunks() {
        let filter = || Filter { kind: Some("manual".into()), ..Filter::default() };
        assert_eq!(Sweep::complete(filter(), b"1").unwrap().chunk, CHUNK);
        let large = format!("\"{}\"", "x".repeat(1_000_000));
        assert_eq!(Sweep::complete(filter(), large.as_bytes()).unwrap().chunk, 4);
    }
}
