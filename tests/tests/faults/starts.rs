//! Starts that commit, or do not, while their worker goes away or their connection dies.

use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{PgPool, Postgres, Transaction};
use taskyard_client::Client;
use taskyard_core::EventType;
use taskyard_proto::v1::{Assignment, NewTask, StopReason, Verdict};
use taskyard_testkit::{Proxy, eventually};
use taskyard_tests::{History, RawWorker, Stack, WorkerOptions, manual, noop};
use uuid::Uuid;

use crate::{SOON, checks::assert_none, fleet::Fleet};

const QUEUE: &str = "held";
/// How long the leader waits for an answer at most: a little longer than a statement of ours waits for a lock.
const SILENCE_MAX: Duration = Duration::from_secs(11);

/// A task whose start will wait for the test, in the middle of its statement: it has locked the term and the worker's
/// session, and wants the task's row.
struct HeldTask {
    id: Uuid,
    client: Client,
    lock: Transaction<'static, Postgres>,
}

impl HeldTask {
    async fn create(fleet: &Fleet) -> Result<Self> {
        let client = fleet.client()?;
        // The first task makes the queue; a paused one starts nothing.
        client.create_task(NewTask { queue: QUEUE.to_owned(), ..manual() }).await?;
        client.pause_queue(QUEUE).await?;
        let task = noop();
        let id = Uuid::try_parse(&task.id)?;
        client.create_task(NewTask { queue: QUEUE.to_owned(), ..task }).await?;
        let mut lock = fleet.stack.pool.begin().await?;
        sqlx::query("select from tasks.active where id = $1 for update").bind(id).execute(&mut *lock).await?;
        Ok(Self { id, client, lock })
    }

    /// Lets the leader begin the start, waits until it stands before the row, and returns its backend.
    async fn begin_start(&self, pool: &PgPool) -> Result<i32> {
        self.client.resume_queue(QUEUE).await?;
        waiting(pool, START).await
    }

    /// The start goes on.
    async fn let_go(self) -> Result<Uuid> {
        self.lock.rollback().await?;
        Ok(self.id)
    }
}

/// Parts of the statements that wait for each other.
const START: &str = "paired as materialized";
const HELLO: &str = "insert into tasks.sessions";
const EXPIRY: &str = "lapsed as materialized";

/// Waits until such a statement waits for a lock, and returns its backend.
async fn waiting(pool: &PgPool, statement: &str) -> Result<i32> {
    eventually(SOON, format!("`{statement}` waits for a lock"), async || {
        let sql = "select pid from pg_stat_activity where datname = current_database() \
            and wait_event_type = 'Lock' and position($1 in query) > 0";
        sqlx::query_scalar(sql).bind(statement).fetch_optional(pool).await.ok()?
    })
    .await
}

async fn life(fleet: &Fleet, task: Uuid) -> Result<Vec<(EventType, Option<String>, bool)>> {
    let history = History::read(&fleet.stack.pool).await?;
    assert_none(history.faults());
    let life = history.of(task).into_iter().map(|event| {
        let kind = EventType::from_number(event.event_type).context("a type")?;
        Ok((kind, event.reason.clone(), event.is_counted))
    });
    life.collect()
}

async fn finish(worker: &mut RawWorker, run: &Assignment) -> Result<()> {
    worker.complete(run).await?;
    assert_eq!(worker.verdict(run, SOON).await?, Verdict::Recorded);
    Ok(())
}

/// The worker is at another pod before the statement begins: it starts nothing for the older connection.
#[cfg(feature = "fault-points")]
#[tokio::test]
async fn a_start_for_a_worker_that_has_moved_is_refused() -> Result<()> {
    use taskyard_tasks::fault::FaultPoint;

    let mut fleet = Fleet::start_with("60", 3).await?;
    let session = Uuid::new_v4();
    let options = WorkerOptions { session, slots: 1, ..WorkerOptions::default() };
    let here = RawWorker::open(&fleet.url(1), options.clone()).await?;
    fleet.order("freeze", FaultPoint::StartMatched.name())?;
    let task = noop();
    fleet
        .pod(1)?
        .tasks()
        .await?
        .create_task(taskyard_proto::v1::CreateTaskRequest { task: Some(task.clone()) })
        .await?;
    let (frozen, _) = fleet.struck(SOON).await?;
    let mut there = RawWorker::open(&fleet.url(2), options).await?;
    // In time for the leader to lead on; should the machine be slow, its term refuses it all the same.
    fleet.pod(frozen)?.process.thaw()?;
    let run = there.next_run(SOON).await?.context("a run, where the worker is")?;
    assert_eq!((run.task_id.as_str(), run.run, run.attempt), (task.id.as_str(), 1, 0));
    finish(&mut there, &run).await?;
    let life = life(&fleet, task.id.parse()?).await?;
    assert_eq!(life.iter().filter(|(kind, ..)| *kind == EventType::Started).count(), 1, "one start: {life:?}");
    drop(here);
    fleet.close().await
}

/// The hello comes while the start is under way, waits for it, and takes back what it started.
#[tokio::test]
async fn a_start_that_commits_before_a_hello_is_taken_back_by_it() -> Result<()> {
    let fleet = Fleet::start_with("60", 2).await?;
    let session = Uuid::new_v4();
    let options = WorkerOptions { session, slots: 1, ..WorkerOptions::default() };
    let here = RawWorker::open(&fleet.url(0), options.clone()).await?;
    let held = HeldTask::create(&fleet).await?;
    held.begin_start(&fleet.stack.pool).await?;
    let url = fleet.url(1);
    let hello = tokio::spawn(async move { RawWorker::open(&url, options).await });
    waiting(&fleet.stack.pool, HELLO).await?;
    let task = held.let_go().await?;
    let mut there = hello.await??;
    // From its welcome on, nothing runs there that the worker does not hold.
    let sql = "select count(*) from tasks.active where state = 4 and run = 1";
    assert_eq!(fleet.stack.number(sql).await?, 0, "the start was taken back");
    let run = there.next_run(SOON).await?.context("a run, where the worker is")?;
    assert_eq!((run.task_id.clone(), run.run, run.attempt), (task.to_string(), 2, 0));
    finish(&mut there, &run).await?;
    let not_held = Some("not_held".to_owned());
    assert_eq!(
        life(&fleet, task).await?,
        [
            (EventType::Created, None, false),
            (EventType::Started, None, false),
            (EventType::Returned, not_held, false),
            (EventType::Started, None, false),
            (EventType::Completed, None, false),
        ]
    );
    drop(here);
    fleet.close().await
}

/// The session lapses while a start for it is under way: the expiry waits for it, and takes back what it started.
#[tokio::test]
async fn a_start_that_commits_before_an_expiry_is_taken_back_by_it() -> Result<()> {
    let fleet = Fleet::start_with("10", 1).await?;
    let held = HeldTask::create(&fleet).await?;
    let options = WorkerOptions { slots: 1, ..WorkerOptions::default() };
    let mut silent = RawWorker::open(&fleet.url(0), options.clone()).await?;
    silent.fall_silent();
    let session = silent.session;
    // Shortly before the end of the session's life: nothing of ours waits longer than 10 s for a lock.
    silent.listen(Duration::from_secs(7)).await?;
    held.begin_start(&fleet.stack.pool).await?;
    waiting(&fleet.stack.pool, EXPIRY).await?;
    let task = held.let_go().await?;
    let mut other =
        RawWorker::open(&fleet.url(0), WorkerOptions { session: Uuid::new_v4(), ..options.clone() }).await?;
    let run = other.next_run(SOON).await?.context("the run goes to another")?;
    assert_eq!((run.task_id.clone(), run.run, run.attempt), (task.to_string(), 2, 1));

    // The first one comes back with what it has never got, and is told so.
    let held = vec![(task.to_string(), 1)];
    let mut back = RawWorker::open(&fleet.url(0), WorkerOptions { session, held, ..options }).await?;
    let first = Assignment { task_id: task.to_string(), run: 1, ..Assignment::default() };
    back.complete(&first).await?;
    assert_eq!(back.verdict(&first, SOON).await?, Verdict::Refused);
    assert!(back.stops.iter().any(|stop| stop.task_id == first.task_id && stop.reason() == StopReason::NotYours));
    finish(&mut other, &run).await?;
    let expired = Some("expired".to_owned());
    assert_eq!(
        life(&fleet, task).await?,
        [
            (EventType::Created, None, false),
            (EventType::Started, None, false),
            (EventType::Returned, expired, true),
            (EventType::Started, None, false),
            (EventType::Completed, None, false),
        ]
    );
    fleet.close().await
}

/// The statement's connection dies before it has done anything: nothing was started, and it is done again.
#[tokio::test]
async fn a_start_whose_connection_died_before_its_end_is_done_again() -> Result<()> {
    let fleet = Fleet::start_with("60", 1).await?;
    let mut worker = RawWorker::open(&fleet.url(0), WorkerOptions { slots: 1, ..WorkerOptions::default() }).await?;
    let held = HeldTask::create(&fleet).await?;
    let term = fleet.term().await?;
    let backend = held.begin_start(&fleet.stack.pool).await?;
    sqlx::query("select pg_terminate_backend($1)").bind(backend).execute(&fleet.stack.pool).await?;
    let task = held.let_go().await?;
    let run = worker.next_run(SOON).await?.context("a run")?;
    assert_eq!((run.task_id.clone(), run.run, run.attempt), (task.to_string(), 1, 0));
    assert!(fleet.term().await? > term, "its leader has read again what runs, in a term of its own");
    finish(&mut worker, &run).await?;
    assert_eq!(life(&fleet, task).await?.len(), 3, "created, started, completed");
    fleet.close().await
}

/// The statement commits, and its answer is lost: the run is nobody's, until the comparison finds it.
#[tokio::test]
async fn a_start_whose_answer_was_lost_is_settled() -> Result<()> {
    let mut fleet = Fleet::empty("60").await?;
    let proxy = Proxy::to_url(fleet.stack.sandbox.database_url()).await?;
    let through = proxy.url_through(fleet.stack.sandbox.database_url())?;
    fleet.add(&[("DATABASE_URL", through)]).await?;
    fleet.leads(SOON).await?;
    let mut worker = RawWorker::open(&fleet.url(0), WorkerOptions { slots: 1, ..WorkerOptions::default() }).await?;
    let held = HeldTask::create(&fleet).await?;
    let term = fleet.term().await?;
    held.begin_start(&fleet.stack.pool).await?;
    proxy.cut_down();
    let task = held.let_go().await?;
    fleet.stack.wait_for(taskyard_proto::v1::TaskState::Running, 1, SOON).await?;
    proxy.reset();
    // What was held is gone by then.
    tokio::time::sleep(Duration::from_millis(300)).await;
    proxy.heal();
    // A comparison every ten seconds, of what is older than five.
    let run = worker.next_run(Duration::from_secs(15) + SOON).await?.context("a run")?;
    assert_eq!((run.task_id.clone(), run.run, run.attempt), (task.to_string(), 2, 0));
    assert_eq!(worker.waiting(), 0, "the first run never comes");
    assert!(fleet.term().await? > term);
    finish(&mut worker, &run).await?;
    let not_held = Some("not_held".to_owned());
    assert_eq!(
        life(&fleet, task).await?,
        [
            (EventType::Created, None, false),
            (EventType::Started, None, false),
            (EventType::Returned, not_held, false),
            (EventType::Started, None, false),
            (EventType::Completed, None, false),
        ]
    );
    fleet.close().await
}

/// The leader's connection falls silent, as one does that a firewall has forgotten: nothing is answered, and nothing
/// ends. There is no other pod to take over.
#[tokio::test]
async fn a_start_on_a_silent_connection_is_settled() -> Result<()> {
    // Servers of its own: a server process that stands still holds up others' `drop database`.
    let (servers, stack) = Stack::private().await?;
    let mut fleet = Fleet::on(stack, "60");
    fleet.add(&[]).await?;
    let mut worker = RawWorker::open(&fleet.url(0), WorkerOptions { slots: 1, ..WorkerOptions::default() }).await?;
    let held = HeldTask::create(&fleet).await?;
    let backend = held.begin_start(&fleet.stack.pool).await?;
    held.let_go().await?;
    let run = worker.next_run(SOON).await?.context("a run")?;
    finish(&mut worker, &run).await?;
    let term = fleet.term().await?;
    signal(backend, "STOP")?;
    let task = noop();
    fleet.client()?.create_task(task.clone()).await?;
    let run = worker.next_run(SILENCE_MAX + SOON).await?.context("a run, by way of another connection")?;
    assert_eq!((run.task_id.as_str(), run.run, run.attempt), (task.id.as_str(), 1, 0));
    assert!(fleet.term().await? > term);
    // What was sent is still there, and is refused by its term.
    signal(backend, "CONT")?;
    worker.listen(Duration::from_secs(1)).await?;
    finish(&mut worker, &run).await?;
    assert_eq!(life(&fleet, task.id.parse()?).await?.len(), 3, "created, started, completed");
    fleet.close().await?;
    drop(servers);
    Ok(())
}

fn signal(process: i32, signal: &str) -> Result<()> {
    let sent = std::process::Command::new("kill").args([format!("-{signal}"), process.to_string()]).status()?;
    anyhow::ensure!(sent.success(), "no such process");
    Ok(())
}
