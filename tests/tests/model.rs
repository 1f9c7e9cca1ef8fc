//! The service against its model: random commands go to the real service and to [`Life`], and both must agree after
//! each, and so must the events.

use anyhow::{Context, Result, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use taskyard_core::{
    Command, ErrorCode, EventType, Life,
    TaskState::{self, Open, Ready, Running, Scheduled},
};
use taskyard_proto::v1::{
    Assignment, Event, Failed, NewTask, RetryPolicy, Returned, TaskUpdate, Verdict, result::Outcome,
};
use taskyard_testkit::eventually;
use taskyard_tests::{Answer, RawWorker, SOON, Setup, Stack, WorkerOptions, millis, new_task, seconds};
use uuid::Uuid;

/// Lives that are led at once, each with a worker and a queue of its own.
const LIVES: u64 = 32;
/// Commands of each.
const COMMANDS: usize = 60;
const ATTEMPTS_MAX: u16 = 3;

/// What a command needs to know beyond the model.
#[derive(Clone, Copy, Debug)]
struct Step {
    command: Command,
    /// A delay, of a create or after a failure, is over in a moment; then the task's time comes at once. Otherwise it
    /// never comes in this test.
    is_short: bool,
}

/// A task, its model, and its worker.
struct Player<'a> {
    setup: &'a Setup,
    worker: RawWorker,
    id: String,
    new: NewTask,
    life: Life,
    /// The runs so far: reports are made for old ones too.
    runs: Vec<Assignment>,
    changes: Vec<taskyard_core::life::Change>,
}

impl<'a> Player<'a> {
    async fn open(setup: &'a Setup, seed: u64) -> Result<Self> {
        let queue = format!("q{seed}");
        let options = WorkerOptions { queues: vec![queue.clone()], slots: 0, ..WorkerOptions::default() };
        let worker = setup.worker(options).await?;
        let manual = seed % 8 == 7;
        let retry = RetryPolicy { attempts_max: ATTEMPTS_MAX.into(), backoff: millis(1), backoff_max: millis(1) };
        let new = NewTask { queue, retry: Some(retry), ..new_task(if manual { "manual" } else { "noop" }) };
        let id = new.id.clone();
        let life = Life::new(manual, ATTEMPTS_MAX);
        Ok(Self { setup, worker, id, new, life, runs: Vec::new(), changes: Vec::new() })
    }

    fn any_step(&self, random: &mut StdRng) -> Step {
        let run = match random.random_range(0..5) {
            0 => self.life.run.saturating_sub(1),
            1 => self.life.run + 1,
            _ => self.life.run,
        };
        let command = match (self.life.state, random.random_range(0..100)) {
            (None, _) if self.life.version == 0 => Command::Create { delayed: random.random_bool(0.4) },
            // What leads on, more often than not.
            (Some(Ready), 0..55) => Command::Start,
            (Some(Running), 0..35) => Command::Fail { run, fatal: random.random_bool(0.1) },
            (Some(Running), 35..60) => Command::Return { run, counted: false },
            (_, 0..60) if self.life.state.is_some_and(TaskState::is_finished) => Command::Retry,
            (_, 0..65) => Command::Update,
            (_, 65..69) => Command::Complete { run },
            (_, 69..76) => Command::CompleteByHand,
            (_, 76..84) => Command::Cancel,
            (_, 84..92) => Command::Retry,
            (_, 92..93) => Command::Delete,
            (_, 93..96) => Command::Create { delayed: false },
            _ => Command::Fail { run, fatal: false },
        };
        Step { command, is_short: random.random_bool(0.85) }
    }

    /// Sends the command, and fails if the service takes what the model refuses, or the other way round.
    async fn play(&mut self, step: Step) -> Result<()> {
        let change = self.life.apply(step.command);
        let expects = change.is_some();
        let (setup, id) = (self.setup, self.id.clone());
        match step.command {
            Command::Create { delayed } => {
                let delay = if !delayed {
                    None
                } else if step.is_short {
                    millis(50)
                } else {
                    seconds(86_400)
                };
                if expects {
                    self.new.delay = delay;
                    let (task, created) = setup.create_or_find(self.new.clone()).await?;
                    ensure!(created && task.version == 1, "{task:?}");
                } else if self.life.state.is_some() {
                    // The same again is answered with the task; anything else is refused.
                    let (task, created) = setup.create_or_find(self.new.clone()).await?;
                    ensure!(!created && task.version == self.life.version, "{task:?}");
                    let other = NewTask { title: "other".into(), ..self.new.clone() };
                    ensure!(setup.create(other).await.is_err_and(|error| error.code == ErrorCode::IdTaken));
                } else {
                    ensure!(setup.create(self.new.clone()).await.is_err_and(|error| error.code == ErrorCode::IdTaken));
                }
            }
            // Its time comes by itself; see below.
            Command::Due => {}
            Command::Start => {
                // With nothing ready the slot is taken back before anything can come.
                self.worker.slots(1).await?;
                if expects {
                    let run = self.worker.next_run(SOON).await?.context("no run came")?;
                    ensure!(
                        (run.task_id.as_str(), run.run, run.attempt)
                            == (&id, self.life.run + 1, self.life.attempt.into()),
                        "{run:?}"
                    );
                    self.runs.push(run);
                }
                self.worker.slots(0).await?;
            }
            Command::Complete { run } => self.report(run, Outcome::Completed(Default::default()), expects).await?,
            Command::Fail { run, fatal } => {
                let retry_after = if step.is_short { None } else { seconds(86_400) };
                let failed = Failed { error: "broken".into(), fatal, retry_after, ..Failed::default() };
                self.report(run, Outcome::Failed(failed), expects).await?;
            }
            Command::Return { run, counted } => {
                ensure!(!counted, "only a lost worker spends an attempt");
                self.report(run, Outcome::Returned(Returned {}), expects).await?;
            }
            Command::CompleteByHand => {
                let answer = setup.complete(&id, "1").await;
                // One that was completed by hand is answered as it is.
                let again = self.life.manual && self.life.state == Some(TaskState::Completed);
                self.check(answer, expects || again)?;
            }
            Command::Cancel => {
                let again = self.life.state == Some(TaskState::Canceled);
                let was_running = self.life.state == Some(Running);
                self.check(setup.cancel(&id, "").await, expects || again)?;
                if expects && was_running {
                    self.hear_stop().await?;
                }
            }
            Command::Retry => {
                let again = self.life.state.is_some_and(|state| !state.is_finished());
                self.check(setup.retry(&id).await, expects || again)?;
            }
            Command::Update => {
                let title = TaskUpdate { title: Uuid::new_v4().to_string(), ..TaskUpdate::default() };
                let wrong = setup.update(&id, "title", title.clone(), self.life.version + 1).await;
                let code = if expects { ErrorCode::VersionMismatch } else { ErrorCode::TaskNotFound };
                ensure!(wrong.is_err_and(|error| error.code == code));
                self.check(setup.update(&id, "title", title, self.life.version).await, expects)?;
            }
            Command::Delete => self.check(setup.delete(&id).await, expects)?,
        }
        if let Some(change) = change {
            self.take(change);
        }
        if self.life.state == Some(Scheduled) && step.is_short && expects && step.command != Command::Update {
            let due = self.life.apply(Command::Due).context("its time comes")?;
            eventually(SOON, "its time", async || {
                setup.get(&id).await.ok().filter(|task| task.version > self.life.version).map(|_| ())
            })
            .await?;
            self.take(due);
        }
        self.agree().await
    }

    fn take(&mut self, change: taskyard_core::life::Change) {
        self.life = change.life;
        self.changes.push(change);
    }

    fn check<T: std::fmt::Debug>(&self, answer: Answer<T>, expected: bool) -> Result<()> {
        let refusal = if self.life.state.is_none() { ErrorCode::TaskNotFound } else { ErrorCode::WrongState };
        match answer {
            Ok(_) if expected => Ok(()),
            Err(error) if !expected && error.code == refusal => Ok(()),
            other => anyhow::bail!("{other:?}"),
        }
    }

    async fn report(&mut self, run: u32, outcome: Outcome, expects: bool) -> Result<()> {
        let run = Assignment { task_id: self.id.clone(), run, ..Assignment::default() };
        // A result that was recorded before is answered so again; a hand-back and what never was are refused.
        let reported = |event: EventType| matches!(event, EventType::Completed | EventType::Retrying | EventType::Dead);
        let is_result = !matches!(outcome, Outcome::Returned(_));
        let before = is_result
            && self
                .changes
                .iter()
                .any(|change| change.life.run == run.run && change.from == Some(Running) && reported(change.event));
        self.worker.report(&run, outcome).await?;
        let verdict = self.worker.verdict(&run, SOON).await?;
        let expected = if expects || before { Verdict::Recorded } else { Verdict::Refused };
        ensure!(verdict == expected, "{verdict:?} instead of {expected:?}");
        Ok(())
    }

    /// The worker is told of a cancel, and its slot is free when it says that it has stopped.
    async fn hear_stop(&mut self) -> Result<()> {
        let deadline = tokio::time::Instant::now() + SOON;
        while self.worker.stops.is_empty() {
            let stepped = tokio::time::timeout_at(deadline, self.worker.step()).await.context("no stop came")?;
            ensure!(stepped?, "the stream ended");
        }
        let stop = self.worker.stops.remove(0);
        let run = self.runs.last().context("a run")?.clone();
        ensure!((stop.task_id.as_str(), stop.run) == (run.task_id.as_str(), run.run), "{stop:?}");
        self.worker.stopped(&run).await?;
        self.worker.verdict(&run, SOON).await?;
        Ok(())
    }

    /// The task is as the model has it.
    async fn agree(&self) -> Result<()> {
        let task = match (self.setup.get(&self.id).await, self.life.state) {
            (Ok(task), Some(_)) => task,
            (Err(error), None) if error.code == ErrorCode::TaskNotFound => return Ok(()),
            (other, _) => anyhow::bail!("{other:?} instead of {:?}", self.life),
        };
        let state = self.life.state.map(|state| i32::from(state as i16));
        let expected = (state, self.life.run, u32::from(self.life.attempt), self.life.version);
        let found = (Some(task.state), task.run, task.attempt, task.version);
        ensure!(found == expected, "state, run, attempt, version are {found:?} instead of {expected:?}");
        if matches!(self.life.state, Some(Open | Scheduled | Ready | Running)) {
            let returns: i16 = sqlx::query_scalar("select returns from tasks.active where id = $1")
                .bind(Uuid::try_parse(&self.id)?)
                .fetch_one(&self.setup.stack.pool)
                .await?;
            ensure!(returns == self.life.returns, "{returns} returns instead of {}", self.life.returns);
        }
        Ok(())
    }

    /// The events tell the same story, one for each change, and the last one is the task.
    async fn agree_with_events(&self) -> Result<()> {
        let events = if self.life.version == 0 {
            self.setup.events(&self.id).await?
        } else {
            self.setup.events_until(&self.id, self.life.version).await?
        };
        ensure!(events.len() == self.changes.len(), "{} events of {} changes", events.len(), self.changes.len());
        for (event, change) in events.iter().zip(&self.changes) {
            ensure!(summary(event) == summary_of(change), "{event:?} instead of {change:?}");
        }
        // Whatever the order in which they are read: the highest version is how the task stands.
        let newest = events.iter().rev().max_by_key(|event| event.version).map(summary);
        ensure!(newest == self.changes.last().map(summary_of));
        Ok(())
    }
}

type Summary = (i32, i32, i32, u32, u32, u32);

fn summary(event: &Event) -> Summary {
    (event.r#type, event.from_state, event.to_state, event.version, event.run, event.attempt)
}

fn summary_of(change: &taskyard_core::life::Change) -> Summary {
    let number = |state: Option<TaskState>| state.map_or(0, |state| i32::from(state as i16));
    let life = change.life;
    let kind = i32::from(change.event as i16);
    (kind, number(change.from), number(life.state), life.version, life.run, life.attempt.into())
}

async fn lead_a_life(setup: &Setup, seed: u64) -> Result<usize> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut player = Player::open(setup, seed).await?;
    let mut played = Vec::new();
    for _ in 0..COMMANDS {
        let step = player.any_step(&mut random);
        let before = player.life;
        played.push(step.command);
        player.play(step).await.with_context(|| format!("seed {seed}: {step:?} of {before:?}, after {played:?}"))?;
    }
    player.agree_with_events().await.with_context(|| format!("seed {seed}: after {played:?}"))?;
    Ok(player.changes.len())
}

#[tokio::test]
async fn random_commands_lead_the_service_where_they_lead_the_model() -> Result<()> {
    let mut stack = Stack::shared().await?;
    // Its workers read their streams only when the model wants something of them.
    stack.flags = vec!["--session-timeout-s".into(), "300".into()];
    let setup = Setup::on(stack).await?;
    let lives = futures::future::join_all((0..LIVES).map(|seed| lead_a_life(&setup, seed))).await;
    let mut changes = 0;
    for life in lives {
        changes += life?;
    }
    assert!(changes > 500, "most commands do something: {changes}");
    setup.close().await
}
