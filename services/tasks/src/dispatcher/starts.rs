//! The dispatch loop: the only place where tasks are started.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use chrono::Utc;
use futures::{Stream, StreamExt};
use sqlx::{Connection, PgConnection};
use taskyard_core::task::Namespace;
use taskyard_postgres::Failure;
use taskyard_proto::internal::{Beacon, Demand, LimitedQueue, StartedRun, Wake, Work};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use uuid::Uuid;

use super::{
    End, Term,
    board::{Board, Match},
    lanes::{LANE_TASKS_MAX, LaneKey},
    pause_after,
    slots::Heard,
};
use crate::{
    fault::{self, FaultPoint},
    store::{
        leader, queues,
        ready::{self, ReadyTask},
        start::{self, Pair},
    },
    wakes,
};

/// Tasks of one start statement.
const START_MAX: usize = 500;
/// With so many pairs at hand a start does not wait.
const START_AT_ONCE: usize = 200;
/// The longest wait between two starts.
const PAUSE_MAX: Duration = Duration::from_millis(10);
/// After so many started at once the wait is whole, after fewer it is as much shorter.
const PAUSE_FULL_AT: f64 = 40.0;
/// Messages that are taken in before the next start.
const DRAIN_MAX: usize = 2_000;
const BEACON_INTERVAL: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_secs(5);
const LIMITS_INTERVAL: Duration = Duration::from_secs(10);
/// The loop goes round at least so often.
const ROUND_MAX: Duration = Duration::from_millis(500);
/// While a publish waits so long for its answer, nothing is started.
const ANSWER_SLOW: Duration = Duration::from_secs(1);
/// After so long without an answered publish the leader lets go.
const ANSWER_NONE: Duration = Duration::from_secs(15);
/// A statement waits 10 s for a lock at most; when its answer takes longer its connection is dead, silently, and only
/// another one shows what became of it.
const STATEMENT_MAX: Duration = Duration::from_secs(11);
/// Ready tasks that the slow poll reads of a lane.
const POLL_ROWS: i64 = 500;

/// Leads until something ends the term.
pub async fn run(term: Arc<Term>) -> End {
    match Starts::open(term.clone()).await {
        Ok(mut starts) => {
            let stop = term.stop.clone();
            tokio::select! {
                end = starts.run() => end,
                () = stop.cancelled() => End::Stopped,
            }
        }
        Err(error) => {
            tracing::warn!(%error, "the term could not begin");
            End::LetGo("the term could not begin")
        }
    }
}

struct Starts {
    term: Arc<Term>,
    /// A connection of its own: a start never waits for one, and with an unknown outcome it is thrown away.
    connection: PgConnection,
    board: Board,
    /// The revision of the queues' settings that the board knows.
    settings: i64,
    wakes: Box<dyn Stream<Item = Wake> + Send + Unpin>,
    demands: Box<dyn Stream<Item = Demand> + Send + Unpin>,
    polled: (mpsc::Sender<Polled>, mpsc::Receiver<Polled>),
    is_polling: bool,
    next_poll_at: Instant,
    publishing: Publishing,
    next_start_at: Instant,
    /// What is ready cannot start by limits, pauses or credit; only news can change that.
    is_barred: bool,
}

/// What the slow poll found, and how long it took.
enum Polled {
    Lanes(Vec<(i32, String, String)>, Duration),
    Tasks(Vec<ReadyTask>, Duration),
}

/// Publishes that wait for their answer.
#[derive(Default)]
struct Publishing {
    answers: JoinSet<(u64, bool)>,
    begun: VecDeque<(u64, Instant)>,
    next: u64,
    /// Since when no publish was answered.
    unanswered_since: Option<Instant>,
    /// The last answer was an error: the stream may be gone.
    has_failed: bool,
    /// When the streams are looked after next.
    next_probe_at: Option<Instant>,
}

impl Starts {
    async fn open(term: Arc<Term>) -> anyhow::Result<Self> {
        let app = &term.app;
        let bus = &app.bus;
        // First listen, then read: nothing is missed in between.
        let wakes = Box::new(bus.listen::<Wake>(bus.names().wake()).await?);
        let demands = Box::new(bus.listen::<Demand>(bus.names().demand()).await?);
        let options = app.pool.connect_options();
        let mut connection =
            tokio::time::timeout(Duration::from_secs(3), PgConnection::connect_with(&options)).await??;
        crate::store::epoch::epoch_check(&mut connection).await?;
        let board = Board::new(term.number);
        Ok(Self {
            connection,
            board,
            settings: 0,
            wakes,
            demands,
            polled: mpsc::channel(64),
            is_polling: false,
            next_poll_at: Instant::now(),
            publishing: Publishing::default(),
            next_start_at: Instant::now(),
            is_barred: false,
            term,
        })
    }

    async fn run(&mut self) -> End {
        if let Err(end) = self.begin().await {
            return end;
        }
        let mut beacon = interval(BEACON_INTERVAL);
        let mut poll = interval(POLL_INTERVAL);
        let mut limits = interval(LIMITS_INTERVAL);
        let mut round = interval(ROUND_MAX);
        for timer in [&mut beacon, &mut poll, &mut limits, &mut round] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        limits.tick().await;
        loop {
            self.term.went_round.send_replace(Instant::now());
            let waits_for_pace = !self.is_barred && self.board.possible() > 0 && self.may_publish();
            tokio::select! {
                wake = self.wakes.next() => match wake {
                    Some(wake) => self.hear_wake(wake),
                    None => return End::LetGo("the connection to NATS is closed"),
                },
                demand = self.demands.next() => match demand {
                    Some(demand) => if let Err(end) = self.hear_demand(&demand).await { return end },
                    None => return End::LetGo("the connection to NATS is closed"),
                },
                Some(polled) = self.polled.1.recv() => self.hear_polled(polled),
                Some(answer) = self.publishing.answers.join_next() => self.publishing.hear(answer),
                () = tokio::time::sleep_until(self.next_start_at), if waits_for_pace => {}
                _ = beacon.tick() => if let Err(end) = self.beacon().await { return end },
                _ = poll.tick() => self.poll(),
                _ = limits.tick() => self.term.queues_changed.store(true, std::sync::atomic::Ordering::Relaxed),
                _ = round.tick() => {}
            }
            if let Err(end) = self.take_in_what_waits().await {
                return end;
            }
            if self.term.queues_have_changed()
                && let Err(end) = self.read_limits().await
            {
                return end;
            }
            if let Err(end) = self.check_publishing().await {
                return end;
            }
            if let Err(end) = self.start_what_can_start().await {
                return end;
            }
            self.term.app.metrics.waiting(self.board.possible());
        }
    }

    /// Reads what runs, then tells everybody of the new term.
    async fn begin(&mut self) -> Result<(), End> {
        self.read_limits().await?;
        self.term.queues_have_changed();
        // The other loops may have looked before this one listened: what was told in between, nobody heard.
        self.term.is_due_at(Utc::now());
        self.term.events.notify_one();
        fault::reach(FaultPoint::TermRead);
        let begun = Instant::now();
        while let Err(error) = self.term.app.bus.ensure_streams().await {
            tracing::warn!(%error, "the streams cannot be made yet");
            if begun.elapsed() > ANSWER_NONE {
                return Err(End::LetGo("the streams cannot be made"));
            }
            self.term.went_round.send_replace(Instant::now());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    fn hear_wake(&mut self, wake: Wake) {
        self.is_barred = false;
        for task in wake.ready.into_iter().filter_map(wakes::from_message) {
            self.board.wake(&task);
        }
        for run in wake.ended {
            if let Ok(id) = Uuid::from_slice(&run.id) {
                self.board.ended(run.namespace, &run.queue, id, run.run);
            }
        }
        if let Some(due_at) =
            (wake.earliest_due_ms > 0).then(|| chrono::DateTime::from_timestamp_millis(wake.earliest_due_ms)).flatten()
        {
            self.term.is_due_at(due_at);
        }
        if wake.queues_changed {
            self.term.queues_changed.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        if wake.schedules_changed {
            self.term.schedules.notify_one();
        }
        self.term.events.notify_one();
    }

    async fn hear_demand(&mut self, demand: &Demand) -> Result<(), End> {
        self.is_barred = false;
        if self.board.slots.hear(demand, Instant::now().into_std()) == Heard::NeedsGreeting {
            self.publish(demand.pod.clone(), Vec::new()).await?;
        }
        Ok(())
    }

    fn hear_polled(&mut self, polled: Polled) {
        self.is_barred = false;
        match polled {
            Polled::Tasks(tasks, took) => {
                self.next_poll_at = self.next_poll_at.max(Instant::now() + pause_after(took, Duration::ZERO));
                for task in tasks {
                    self.board.wake(&task);
                }
            }
            Polled::Lanes(lanes, took) => {
                self.is_polling = false;
                self.next_poll_at = Instant::now() + pause_after(took, Duration::ZERO);
                for (namespace, queue, kind) in lanes {
                    let key = LaneKey { namespace, queue, kind };
                    let is_served =
                        self.board.slots.profiles().any(|profile| profile.serves(namespace, &key.queue, &key.kind));
                    let Some(lane) = self.board.lane(key.clone()) else { continue };
                    // A lane that was never filled is read before the next start anyway.
                    if is_served && !lane.wants_refill() {
                        self.poll_lane(key);
                    }
                }
            }
        }
    }

    /// Takes in what has arrived, so that the next start knows all of it.
    async fn take_in_what_waits(&mut self) -> Result<(), End> {
        for _ in 0..DRAIN_MAX {
            let mut idle = true;
            if let Some(Some(wake)) = futures::FutureExt::now_or_never(self.wakes.next()) {
                self.hear_wake(wake);
                idle = false;
            }
            if let Some(Some(demand)) = futures::FutureExt::now_or_never(self.demands.next()) {
                self.hear_demand(&demand).await?;
                idle = false;
            }
            if idle {
                break;
            }
        }
        Ok(())
    }

    async fn start_what_can_start(&mut self) -> Result<(), End> {
        if self.is_barred || !self.may_publish() {
            return Ok(());
        }
        self.refill().await?;
        let possible = self.board.possible();
        if possible == 0 || (possible < START_AT_ONCE && Instant::now() < self.next_start_at) {
            return Ok(());
        }
        let matches = self.board.match_up(START_MAX);
        if matches.is_empty() {
            self.is_barred = true;
            return Ok(());
        }
        fault::reach(FaultPoint::StartMatched);
        let begun = Instant::now();
        let runs = self.start(&matches).await?;
        let took = begun.elapsed();
        // The more there is to start, the longer the pause: larger groups cost less each, and a lone task starts at once.
        let pause = (took * 2).min(PAUSE_MAX).mul_f64((matches.len() as f64 / PAUSE_FULL_AT).min(1.0));
        self.next_start_at = Instant::now() + pause;
        let left = self.board.settle(&matches, &runs);
        self.look_up(&left).await?;
        self.term.app.metrics.started(runs.len(), took.as_secs_f64());
        self.publish_started(&matches, &runs).await?;
        self.term.events.notify_one();
        Ok(())
    }

    async fn start(&mut self, matches: &[Match]) -> Result<HashMap<(i32, Uuid), i32>, End> {
        let pairs: Vec<Pair> = matches
            .iter()
            .map(|one| Pair {
                namespace: one.lane.namespace,
                id: one.rank.id,
                version: one.waiting.version,
                session: one.room.session,
                connection: one.room.connection,
            })
            .collect();
        match answered(start::task_start_batch(&mut self.connection, self.term.number, self.settings, &pairs)).await {
            Ok(started) => {
                fault::reach(FaultPoint::StartCommitted);
                if !started.leads {
                    return Err(End::Fenced);
                }
                if started.settings_changed {
                    // Nobody told: they are read before the next start, which has these tasks again.
                    self.term.queues_changed.store(true, std::sync::atomic::Ordering::Relaxed);
                    return Ok(HashMap::new());
                }
                // A worker that the database does not know on this connection is gone or elsewhere.
                let alive: HashSet<Uuid> = started.sessions.into_iter().collect();
                for one in matches.iter().filter(|one| !alive.contains(&one.room.session)) {
                    self.board.slots.forget(one.room.session);
                }
                Ok(started.runs.into_iter().map(|(namespace, id, run)| ((namespace, id), run)).collect())
            }
            Err(error) if Failure::of(&error) == Failure::Repeat => {
                tracing::info!(%error, "a start is repeated");
                Ok(HashMap::new())
            }
            Err(error) => {
                tracing::warn!(%error, "the outcome of a start is unknown");
                Err(End::Retake)
            }
        }
    }

    /// Tasks that were not started may be ready nonetheless.
    async fn look_up(&mut self, tasks: &[(Namespace, Uuid)]) -> Result<(), End> {
        if tasks.is_empty() {
            return Ok(());
        }
        match answered(ready::task_ready_get(&mut self.connection, tasks)).await {
            Ok(ready) => {
                for task in ready {
                    self.board.wake(&task);
                }
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "ready tasks could not be read");
                Err(End::Retake)
            }
        }
    }

    /// One message for each pod.
    async fn publish_started(&mut self, matches: &[Match], runs: &HashMap<(i32, Uuid), i32>) -> Result<(), End> {
        let mut by_pod: HashMap<&str, Vec<StartedRun>> = HashMap::new();
        for one in matches {
            let Some(run) = runs.get(&(one.lane.namespace, one.rank.id)) else { continue };
            by_pod.entry(&one.room.pod).or_default().push(StartedRun {
                namespace: one.lane.namespace,
                id: one.rank.id.as_bytes().to_vec().into(),
                run: *run,
                session: one.room.session.as_bytes().to_vec().into(),
                connection: one.room.connection,
                payload_bytes: u32::try_from(one.waiting.payload_bytes).unwrap_or(u32::MAX),
            });
        }
        for (pod, runs) in by_pod {
            self.publish(pod.to_owned(), runs).await?;
        }
        Ok(())
    }

    async fn publish(&mut self, pod: String, runs: Vec<StartedRun>) -> Result<(), End> {
        let number = self.board.slots.next_message(&pod, Instant::now().into_std());
        self.send(&pod, Work { term: self.term.number, number, runs }).await;
        fault::reach(FaultPoint::WorkPublished);
        Ok(())
    }

    async fn send(&mut self, pod: &str, work: Work) {
        let sent = tokio::time::timeout(ANSWER_SLOW, self.term.app.bus.publish_work(pod, &work)).await;
        self.publishing.begin(sent.ok().and_then(Result::ok));
    }

    fn may_publish(&self) -> bool {
        !self.publishing.has_failed && self.publishing.oldest().is_none_or(|since| since.elapsed() < ANSWER_SLOW)
    }

    async fn check_publishing(&mut self) -> Result<(), End> {
        let Some(since) = self.publishing.unanswered_since else { return Ok(()) };
        if since.elapsed() > ANSWER_NONE {
            return Err(End::LetGo("NATS does not answer"));
        }
        if self.publishing.has_failed && self.publishing.next_probe_at.is_none_or(|at| Instant::now() >= at) {
            self.publishing.next_probe_at = Some(Instant::now() + ROUND_MAX);
            // The stream may have been deleted, or the server is away: what was in the message comes back by the
            // comparison of pods and database.
            let made = tokio::time::timeout(ANSWER_SLOW, self.term.app.bus.ensure_streams()).await;
            if matches!(made, Ok(Ok(()))) {
                self.publishing.has_failed = false;
                self.publishing.unanswered_since = None;
            }
        }
        Ok(())
    }

    /// Reads on in the lanes that run low.
    async fn refill(&mut self) -> Result<(), End> {
        for (key, after) in self.board.lanes_to_refill() {
            let rows_max = LANE_TASKS_MAX / 2;
            let rows = ready::task_ready_list_after(
                &mut self.connection,
                key.namespace,
                &key.queue,
                &key.kind,
                after.map(|rank| (rank.priority(), rank.due_at, rank.id)),
                rows_max,
            );
            match answered(rows).await {
                Ok(tasks) => {
                    let is_all = tasks.len() < rows_max;
                    if let Some(lane) = self.board.lane(key) {
                        lane.refill(&tasks, is_all);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "ready tasks could not be read");
                    return Err(End::Retake);
                }
            }
        }
        Ok(())
    }

    /// Reads the queues' settings and what runs in the limited ones, between two starts: nothing starts meanwhile.
    async fn read_limits(&mut self) -> Result<(), End> {
        let pool = &self.term.app.pool;
        let read = async {
            let revision = queues::settings_revision(pool).await?;
            let settings = queues::queue_settings_list(pool).await?;
            let is_limited = settings.iter().any(|queue| queue.concurrency_max.is_some());
            let running = if is_limited { leader::limited_run_list(pool).await? } else { Vec::new() };
            Ok::<_, sqlx::Error>((revision, settings, running))
        };
        match answered(read).await {
            Ok((revision, settings, running)) => {
                self.settings = revision;
                self.board.set_limits(settings, running);
                self.is_barred = false;
                let before = self.limited();
                self.tell_beacon(before).await;
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "queue settings could not be read");
                Err(End::Retake)
            }
        }
    }

    fn limited(&self) -> Vec<LimitedQueue> {
        let limited = self.board.limited();
        limited.map(|(namespace, queue)| LimitedQueue { namespace: *namespace, queue: queue.clone() }).collect()
    }

    async fn tell_beacon(&mut self, limited: Vec<LimitedQueue>) {
        let beacon = Beacon { term: self.term.number, limited };
        self.term.app.bus.tell(self.term.app.bus.names().beacon(), &beacon).await;
        fault::reach(FaultPoint::BeaconPublished);
    }

    async fn beacon(&mut self) -> Result<(), End> {
        let limited = self.limited();
        self.tell_beacon(limited).await;
        let now = Instant::now().into_std();
        self.board.slots.expire(now);
        self.board.tidy();
        // What was lost on the way takes its slots with it until a later message is taken in.
        for pod in self.board.slots.pods_behind(now, BEACON_INTERVAL) {
            self.publish(pod, Vec::new()).await?;
        }
        // Only an answered publish shows that NATS is there. A leader that has nothing else to publish says something
        // that nobody takes in.
        if self.publishing.begun.is_empty() {
            self.send("nobody", Work { term: self.term.number, ..Work::default() }).await;
        }
        Ok(())
    }

    /// Backs up the wakes: looks for lanes with ready tasks.
    fn poll(&mut self) {
        if self.is_polling || Instant::now() < self.next_poll_at {
            return;
        }
        self.is_polling = true;
        let pool = self.term.app.pool.clone();
        let found = self.polled.0.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            let lanes = ready::lane_list(&pool).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the slow poll failed");
                Vec::new()
            });
            // The term may have ended.
            let _ = found.send(Polled::Lanes(lanes, begun.elapsed())).await;
        });
    }

    fn poll_lane(&self, key: LaneKey) {
        let pool = self.term.app.pool.clone();
        let found = self.polled.0.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            match ready::task_ready_list(&pool, key.namespace, &key.queue, &key.kind, POLL_ROWS).await {
                Ok(tasks) => {
                    // The term may have ended.
                    let _ = found.send(Polled::Tasks(tasks, begun.elapsed())).await;
                }
                Err(error) => tracing::warn!(%error, "the slow poll failed"),
            }
        });
    }
}

/// What a statement says, if it says anything in time.
async fn answered<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let no_answer = || Err(sqlx::Error::Io(std::io::Error::from(std::io::ErrorKind::TimedOut)));
    tokio::time::timeout(STATEMENT_MAX, statement).await.unwrap_or_else(|_| no_answer())
}

impl Publishing {
    fn begin(&mut self, answer: Option<impl Future<Output = anyhow::Result<()>> + Send + 'static>) {
        let now = Instant::now();
        self.unanswered_since.get_or_insert(now);
        let Some(answer) = answer else {
            self.has_failed = true;
            return;
        };
        self.next += 1;
        let number = self.next;
        self.begun.push_back((number, now));
        self.answers.spawn(async move {
            let answered = answer.await;
            if let Err(error) = &answered {
                tracing::warn!(%error, "a work message was not taken by its stream");
            }
            (number, answered.is_ok())
        });
    }

    fn hear(&mut self, answer: Result<(u64, bool), tokio::task::JoinError>) {
        let Ok((number, is_taken)) = answer else { return };
        self.begun.retain(|(begun, _)| *begun != number);
        if is_taken {
            self.unanswered_since = self.begun.front().map(|(_, since)| *since);
        } else {
            self.has_failed = true;
        }
    }

    fn oldest(&self) -> Option<Instant> {
        self.begun.front().map(|(_, since)| *since)
    }
}
