//! Group commit: what concurrent callers want written goes into one statement.
//!
//! One statement of a kind is under way at a time; what arrives meanwhile is the next group. So a lone caller waits
//! for nobody, and under load groups grow by themselves. A group is capped by rows and bytes. Doubles are removed
//! first: the second one goes into a later group. A bad row is found by halving and refused alone. What was in a
//! statement with an unknown outcome is applied again: [`Group::apply`] must begin by reading what is already there.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    future::Future,
    hash::Hash,
    time::Duration,
};

use taskyard_core::{Error, ErrorCode, Result};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::failure::{self, Failure};

/// What one kind of group does.
pub trait Group: Send + Sync + 'static {
    /// One row.
    type Item: Send + Sync + 'static;
    /// What is told about a row.
    type Answer: Send + 'static;
    /// Two items with the same key never share a statement.
    type Key: Eq + Hash;

    /// For logs.
    const NAME: &'static str;

    /// The item's key.
    fn key(item: &Self::Item) -> Self::Key;

    /// Another key, for items that have two.
    fn second_key(_: &Self::Item) -> Option<Self::Key> {
        None
    }

    /// What the item weighs.
    fn bytes(item: &Self::Item) -> usize;

    /// Applies the items in one statement and answers each, in order. It may be called again with items that have
    /// taken effect already, and must then answer as it did the first time.
    fn apply(
        &self,
        items: &[&Self::Item],
    ) -> impl Future<Output = Result<Vec<Verdict<Self::Answer>>, sqlx::Error>> + Send;
}

/// What became of an item.
#[derive(Debug)]
pub enum Verdict<A> {
    /// It is done.
    Done(A),
    /// It was refused.
    Refused(Error),
    /// Its row was changed by a newer transaction: into the next group.
    Again,
}

/// How large groups and queues become.
#[derive(Clone, Copy, Debug)]
pub struct GroupOptions {
    /// Rows of a group.
    pub rows_max: usize,
    /// Bytes of a group.
    pub bytes_max: usize,
    /// Rows that wait; more are refused.
    pub waiting_rows_max: usize,
    /// How long a caller waits at most.
    pub patience: Duration,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self { rows_max: 1_000, bytes_max: 4 * 1_048_576, waiting_rows_max: 50_000, patience: Duration::from_secs(20) }
    }
}

/// A handle to hand items in.
pub struct GroupCommit<G: Group> {
    jobs: mpsc::Sender<Job<G>>,
    options: GroupOptions,
    waiting: std::sync::Arc<tokio::sync::Semaphore>,
}

impl<G: Group> Clone for GroupCommit<G> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), options: self.options, waiting: self.waiting.clone() }
    }
}

impl<G: Group> fmt::Debug for GroupCommit<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCommit").field("name", &G::NAME).finish_non_exhaustive()
    }
}

/// What one caller handed in.
struct Job<G: Group> {
    items: Vec<G::Item>,
    answers: Vec<Option<Result<G::Answer>>>,
    /// Items without an answer.
    open: usize,
    reply: oneshot::Sender<Vec<Result<G::Answer>>>,
    deadline: Instant,
    _room: tokio::sync::OwnedSemaphorePermit,
}

impl<G: Group> Job<G> {
    fn answer(&mut self, item: usize, answer: Result<G::Answer>) {
        if self.answers[item].replace(answer).is_none() {
            self.open -= 1;
        }
    }
}

impl<G: Group> GroupCommit<G> {
    /// Starts the loop that writes; it ends when all handles are gone and what was handed in is answered.
    pub fn start(group: G, options: GroupOptions) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(options.waiting_rows_max);
        let waiting = std::sync::Arc::new(tokio::sync::Semaphore::new(options.waiting_rows_max));
        (Self { jobs: sender, options, waiting }, Writer { group, options, jobs: VecDeque::new() }.run(receiver))
    }

    /// Writes one item.
    ///
    /// # Errors
    /// If the item was refused, too much is waiting, or the database did not answer in time.
    pub async fn submit(&self, item: G::Item) -> Result<G::Answer> {
        let mut answers = self.submit_all(vec![item]).await?;
        answers.pop().unwrap_or_else(|| Err(Error::internal("a group gave no answer")))
    }

    /// Writes items that are answered one by one, in order.
    ///
    /// # Errors
    /// If too much is waiting, or the database did not answer in time. What became of the items is then unknown.
    pub async fn submit_all(&self, items: Vec<G::Item>) -> Result<Vec<Result<G::Answer>>> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let rows = u32::try_from(items.len()).unwrap_or(u32::MAX);
        let Ok(room) = self.waiting.clone().try_acquire_many_owned(rows) else {
            let mut error = Error::new(ErrorCode::Exhausted, "too much waits for the database; try again in a second");
            error.retry_after = Some(Duration::from_secs(1));
            return Err(error);
        };
        let (reply, answer) = oneshot::channel();
        let open = items.len();
        let answers = items.iter().map(|_| None).collect();
        let deadline = Instant::now() + self.options.patience;
        let job = Job { items, answers, open, reply, deadline, _room: room };
        let stopped = || Error::unavailable("this process is about to stop; try again");
        self.jobs.send(job).await.map_err(|_| stopped())?;
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(answers) => answers.map_err(|_| stopped()),
            Err(_) => Err(Error::unavailable("the database did not answer in time; try again")),
        }
    }
}

struct Writer<G: Group> {
    group: G,
    options: GroupOptions,
    /// Jobs with open items, oldest first.
    jobs: VecDeque<Job<G>>,
}

/// An item's place: which job, which of its items.
type Place = (usize, usize);

impl<G: Group> Writer<G> {
    async fn run(mut self, mut receiver: mpsc::Receiver<Job<G>>) {
        loop {
            if self.jobs.is_empty() {
                match receiver.recv().await {
                    Some(job) => self.jobs.push_back(job),
                    None => return,
                }
            }
            while let Ok(job) = receiver.try_recv() {
                self.jobs.push_back(job);
            }
            // A caller that went away, or waited too long, does not hold up the others.
            let now = Instant::now();
            self.jobs.retain(|job| !job.reply.is_closed() && job.deadline > now);
            let places = self.next_group();
            if !places.is_empty() {
                self.write(places).await;
            }
            while let Some(index) = self.jobs.iter().position(|job| job.open == 0) {
                if let Some(job) = self.jobs.remove(index) {
                    // A caller that is gone wants no answer.
                    let _ = job.reply.send(job.answers.into_iter().flatten().collect());
                }
            }
        }
    }

    fn next_group(&self) -> Vec<Place> {
        let mut places = Vec::new();
        let mut bytes = 0;
        let mut keys = HashSet::new();
        for (job_index, job) in self.jobs.iter().enumerate() {
            for (item_index, item) in job.items.iter().enumerate() {
                if job.answers[item_index].is_some() {
                    continue;
                }
                let weight = G::bytes(item);
                if !places.is_empty()
                    && (places.len() >= self.options.rows_max || bytes + weight > self.options.bytes_max)
                {
                    return places;
                }
                let second_key = G::second_key(item);
                if second_key.as_ref().is_some_and(|key| keys.contains(key)) || !keys.insert(G::key(item)) {
                    continue;
                }
                keys.extend(second_key);
                bytes += weight;
                places.push((job_index, item_index));
            }
        }
        places
    }

    /// Writes a group; halves it as long as it holds a bad row.
    async fn write(&mut self, places: Vec<Place>) {
        let mut parts = vec![places];
        let mut failures = 0;
        while let Some(places) = parts.pop() {
            let items: Vec<&G::Item> = places.iter().map(|(job, item)| &self.jobs[*job].items[*item]).collect();
            match self.group.apply(&items).await {
                Ok(verdicts) => {
                    debug_assert_eq!(verdicts.len(), places.len());
                    for ((job, item), verdict) in places.into_iter().zip(verdicts) {
                        match verdict {
                            Verdict::Done(answer) => self.jobs[job].answer(item, Ok(answer)),
                            Verdict::Refused(error) => self.jobs[job].answer(item, Err(error)),
                            Verdict::Again => {}
                        }
                    }
                }
                Err(error) => match (Failure::of(&error), places.as_slice()) {
                    (Failure::BadRow, [(job, item)]) => {
                        tracing::info!(group = G::NAME, %error, "a row was refused");
                        self.jobs[*job].answer(*item, Err(failure::to_error(error)));
                    }
                    (Failure::BadRow, _) => {
                        let mut left = places;
                        let right = left.split_off(left.len() / 2);
                        parts.push(right);
                        parts.push(left);
                    }
                    (Failure::Repeat | Failure::Unknown, _) => {
                        failures += 1;
                        tracing::warn!(group = G::NAME, rows = places.len(), failures, %error, "a group will be repeated");
                        tokio::time::sleep(pause(failures)).await;
                        // Back to the loop: callers may have left meanwhile.
                        if failures >= 3 {
                            return;
                        }
                        parts.push(places);
                    }
                    (Failure::Fatal, _) => {
                        tracing::error!(group = G::NAME, rows = places.len(), %error, "a group failed");
                        for (job, item) in places {
                            let error = Error::new(ErrorCode::Internal, "an internal error; it has been logged");
                            self.jobs[job].answer(item, Err(error));
                        }
                    }
                },
            }
        }
    }
}

fn pause(failures: u32) -> Duration {
    Duration::from_millis(20 << failures.min(5))
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Mutex};

    use proptest::prelude::*;

    use super::*;

    /// A table in memory: keys to the times that they were written.
    #[derive(Default)]
    struct Table {
        rows: Mutex<HashMap<u32, u32>>,
        groups: Mutex<Vec<usize>>,
        /// The next statements that lose their connection after they took effect.
        cuts: Mutex<u32>,
    }

    #[derive(Debug)]
    struct BadRow;

    impl fmt::Display for BadRow {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bad row")
        }
    }

    impl std::error::Error for BadRow {}

    impl sqlx::error::DatabaseError for BadRow {
        fn message(&self) -> &str {
            "bad row"
        }
        fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
            Some("22021".into())
        }
        fn kind(&self) -> sqlx::error::ErrorKind {
            sqlx::error::ErrorKind::Other
        }
        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }
        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }
        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }
    }

    struct Inserts(std::sync::Arc<Table>);

    impl Group for Inserts {
        type Item = u32;
        type Answer = u32;
        type Key = u32;
        const NAME: &'static str = "test";

        fn key(item: &u32) -> u32 {
            *item
        }

        fn bytes(_: &u32) -> usize {
            1
        }

        async fn apply(&self, items: &[&u32]) -> Result<Vec<Verdict<u32>>, sqlx::Error> {
            tokio::task::yield_now().await;
            if items.iter().any(|item| **item % 10 == 7) {
                return Err(sqlx::Error::Database(Box::new(BadRow)));
            }
            let mut rows = self.0.rows.lock().unwrap();
            for item in items {
                // Reads first: a repeated statement changes nothing.
                rows.entry(**item).or_insert(1);
            }
            self.0.groups.lock().unwrap().push(items.len());
            let mut cuts = self.0.cuts.lock().unwrap();
            if *cuts > 0 {
                *cuts -= 1;
                return Err(sqlx::Error::Io(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
            }
            Ok(items.iter().map(|item| Verdict::Done(**item * 2)).collect())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn every_item_is_answered_and_only_bad_rows_are_refused(
            jobs in prop::collection::vec(prop::collection::vec(0u32..60, 1..30), 1..20), cuts in 0u32..3,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let table = std::sync::Arc::new(Table { cuts: Mutex::new(cuts), ..Table::default() });
                let options = GroupOptions { rows_max: 25, ..GroupOptions::default() };
                let (commit, writer) = GroupCommit::start(Inserts(table.clone()), options);
                let writer = tokio::spawn(writer);
                let calls = jobs.iter().map(|items| commit.submit_all(items.clone()));
                let answers = futures::future::join_all(calls).await;
                for (items, answers) in jobs.iter().zip(answers) {
                    let answers = answers.unwrap();
                    prop_assert_eq!(answers.len(), items.len());
                    for (item, answer) in items.iter().zip(answers) {
                        if item % 10 == 7 {
                            prop_assert_eq!(answer.unwrap_err().code, ErrorCode::InvalidInput);
                        } else {
                            prop_assert_eq!(answer.unwrap(), item * 2);
                        }
                    }
                }
                prop_assert!(table.groups.lock().unwrap().iter().all(|rows| *rows <= 25));
                drop(commit);
                writer.await.unwrap();
                Ok(())
            })?;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn too_much_waiting_is_refused_and_nothing_hangs() {
        let table = std::sync::Arc::new(Table { cuts: Mutex::new(u32::MAX), ..Table::default() });
        let options = GroupOptions { waiting_rows_max: 10, ..GroupOptions::default() };
        let (commit, writer) = GroupCommit::start(Inserts(table), options);
        tokio::spawn(writer);
        let refused = commit.submit_all((0..11).collect()).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Exhausted);
        let late = commit.submit(1).await.unwrap_err();
        assert_eq!(late.code, ErrorCode::Unavailable);
        assert!(commit.submit_all((0..10).collect()).await.is_err(), "there is room again");
    }
}
