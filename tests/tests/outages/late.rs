//! A transaction that takes its place in the order of events and commits much later: no reader misses it, and nobody
//! but the readers waits.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use taskyard_bus::{Bus, BusOptions, EventLog};
use taskyard_client::{
    Client, Pods,
    v1::{ListEventsRequest, TaskState},
};
use taskyard_core::Position;
use taskyard_proto::{convert::position_from_bus, internal::EventBatch};
use taskyard_testkit::eventually;
use taskyard_tests::{Listener, Load, LoadOptions, Stack};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{ALLOWANCE, SETTLED, none, pods, urls};

/// What a create writes.
fn create(id: Uuid) -> String {
    format!(
        "insert into tasks.documents (namespace, id, created_at, timeout_ms, backoff_ms, backoff_max_ms, attempts_max,
            fingerprint, queue, kind, creator, title, description, labels, payload)
        values (1, '{id}', now(), 60000, 1, 1, 1, '{id}', 'default', 'manual', '', 'late', '', '{{}}', 'null');
        insert into tasks.active (namespace, id, xact, due_at, version, run, timeout_ms, backoff_ms, backoff_max_ms,
            payload_bytes, state, priority, attempt, attempts_max, returns, queue, kind)
        values (1, '{id}', pg_current_xact_id()::text::bigint, now(), 1, 0, 60000, 1, 1, 4, 1, 5, 0, 1, 0, 'default',
            'manual');
        insert into tasks.events (at, xact, namespace, epoch, task_id, due_at, version, run, type, to_state, attempt,
            returns, priority, queue, kind, title, description, labels)
        values (now(), pg_current_xact_id()::text::bigint, 1, (select max(epoch) from tasks.epochs), '{id}', now(), 1,
            0, 1, 1, 0, 0, 5, 'default', 'manual', 'late', '', '{{}}')"
    )
}

/// A reader of the stream that keeps to the rule of consumer groups: it drops what it has, applies the rest, and
/// fetches from the database what lies between its position and a batch's previous one.
pub(super) struct Follower {
    client: Client,
    pub read: Vec<Position>,
    position: Position,
    fetched: usize,
}

impl Follower {
    pub const fn new(client: Client, position: Position) -> Self {
        Self { client, read: Vec::new(), position, fetched: 0 }
    }

    /// Until it has read what is named in the end.
    pub async fn follow(mut self, mut stream: EventLog, mut stops_at: oneshot::Receiver<Position>) -> Result<Self> {
        let mut last = None;
        loop {
            if last.is_none() {
                last = stops_at.try_recv().ok();
            }
            if last.is_some_and(|last| last <= self.position) {
                return Ok(self);
            }
            self.take(next(&mut stream).await?).await?;
        }
    }

    async fn take(&mut self, batch: EventBatch) -> Result<()> {
        let previous = batch.previous.map(position_from_bus).context("no previous position")?;
        if previous > self.position {
            self.fetch_until(previous).await?;
        }
        let positions = batch.events.iter().filter_map(|event| event.position.map(position_from_bus));
        for position in positions.filter(|position| *position > self.position) {
            self.read.push(position);
        }
        self.position = self.read.last().copied().unwrap_or(self.position).max(self.position);
        Ok(())
    }

    async fn fetch_until(&mut self, until: Position) -> Result<()> {
        loop {
            let request = ListEventsRequest { position: self.position.to_string(), ..ListEventsRequest::default() };
            let page = self.client.list_events(request).await?;
            for event in page.events {
                let position: Position = event.position.parse()?;
                if position > until {
                    return Ok(());
                }
                self.read.push(position);
                self.position = position;
                self.fetched += 1;
            }
            if !page.more {
                return Ok(());
            }
        }
    }
}

async fn next(stream: &mut EventLog) -> Result<EventBatch> {
    let batch = tokio::time::timeout(ALLOWANCE, stream.next()).await.context("the stream is silent")?;
    batch.context("the stream ended")
}

/// Reads all pages of ListEvents again and again.
struct Lister {
    client: Client,
    read: Vec<Position>,
    position: String,
}

impl Lister {
    async fn read_on(&mut self) -> Result<()> {
        loop {
            let request = ListEventsRequest { position: self.position.clone(), ..ListEventsRequest::default() };
            let page = self.client.list_events(request).await?;
            for event in page.events {
                self.read.push(event.position.parse()?);
            }
            self.position = page.position;
            if !page.more {
                return Ok(());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_commit_is_missed_by_no_reader_and_holds_up_nobody_else() -> Result<()> {
    // On a server of its own: a transaction that is held open delays the readers of every database of its server.
    let (_servers, stack) = Stack::private().await?;
    let pods = pods(&stack, 2).await?;
    let led = super::leader(&pods, ALLOWANCE).await?;
    let client = Client::new(Pods::connect(urls(&pods), taskyard_tests::token())?);
    let listener = Listener::open(&urls(&pods), None).await?;
    let bus = Bus::connect(BusOptions {
        url: stack.sandbox.nats_url().to_owned(),
        prefix: stack.sandbox.prefix().to_owned(),
        client_name: "follower".to_owned(),
        events_age_max: Duration::from_secs(3_600),
        events_bytes_max: 1 << 20,
    })
    .await?;
    let mut stream = eventually(ALLOWANCE, "the stream is there", async || bus.event_log().await.ok()).await?;
    let mut follower = Follower::new(client.clone(), Position::default());
    // An empty one, in quiet times.
    follower.take(next(&mut stream).await?).await?;
    let (until, stops_at) = oneshot::channel();
    let following = tokio::spawn(follower.follow(stream, stops_at));
    let mut lister = Lister { client: client.clone(), read: Vec::new(), position: String::new() };

    let mut load = Load::start(&stack.pool, LoadOptions::new(&urls(&pods)))?;
    load.goes_on(30, ALLOWANCE).await?;

    // It has its number, and others with higher ones commit before it.
    let late = Uuid::now_v7();
    let mut holder = PgConnection::connect(stack.sandbox.database_url()).await?;
    holder.execute("set application_name = 'slow-reporter'").await?;
    holder.execute("begin").await?;
    holder.execute(AssertSqlSafe(create(late))).await?;
    let own: (i32, i64, i64) = sqlx::query_as("select epoch, xact, seq from tasks.events where task_id = $1")
        .bind(late)
        .fetch_one(&mut holder)
        .await?;
    let own = Position { epoch: own.0, xact: own.1, seq: own.2 };

    // Dispatch goes on meanwhile, and the metric says whom to blame.
    load.goes_on(150, ALLOWANCE * 2).await?;
    let says = eventually(ALLOWANCE, "the holder is named", async || {
        let text = pods[led].metrics.render().ok()?;
        let line = text.lines().find(|line| line.starts_with("taskyard_events_lag_seconds"))?.to_owned();
        line.contains("slow-reporter").then_some(line)
    })
    .await?;
    let age: f64 = says.rsplit(' ').next().context("no value")?.parse()?;
    ensure!(age >= 1.0, "{says}");
    lister.read_on().await?;
    ensure!(lister.read.iter().all(|position| *position < own), "a position behind the late one was handed out");
    ensure!(listener.heard().positions.iter().all(|position| *position < own), "the watch went past the late one");
    let ahead: i64 = sqlx::query_scalar("select count(*) from tasks.events where xact > $1")
        .bind(own.xact)
        .fetch_one(&stack.pool)
        .await?;
    ensure!(ahead > 100, "only {ahead} events lie behind the one that is late");

    holder.execute("commit").await?;
    load.settle(SETTLED).await?;
    let told = load.tell().await?;
    none("after the load", told.faults())?;
    let positions = told.history.positions();
    ensure!(positions.contains(&own), "the late event is not there");
    let last = *positions.last().context("no events")?;

    let heard = listener.reaches(last, ALLOWANCE).await?;
    ensure!(heard.positions == positions, "the watch missed or doubled something");
    eventually(ALLOWANCE, "all can be read", async || {
        lister.read_on().await.ok()?;
        (lister.read.last() == Some(&last)).then_some(())
    })
    .await?;
    ensure!(lister.read == positions, "ListEvents missed or doubled something");
    ensure!(until.send(last).is_ok(), "the follower has ended");
    let follower = following.await??;
    ensure!(follower.read == positions, "the stream missed or doubled something");
    ensure!(follower.fetched == 0, "{} events were missing in the stream", follower.fetched);
    eventually(ALLOWANCE, "nobody is blamed any more", async || {
        (pods[led].metric("taskyard_events_lag_seconds") == Some(0.0)).then_some(())
    })
    .await?;
    ensure!(stack.count(TaskState::Open).await? == 1);
    stack.close().await
}
