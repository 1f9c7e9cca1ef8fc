//! A dump is restored into another server, behind the same name, while the pods go on: they notice by themselves.
//!
//! The old server was further with its transactions than the new one is, so that nothing goes by their numbers.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use taskyard_bus::{Bus, BusOptions};
use taskyard_client::{
    Client, Pods,
    v1::{ListEventsRequest, NewTask, TaskState, TaskUpdate, UpdateTaskRequest, Verdict},
};
use taskyard_core::{ErrorCode, Position};
use taskyard_testkit::{Proxy, Servers, eventually};
use taskyard_tests::{
    History, Listener, Load, LoadOptions, Pod, RawWorker, Stack, WorkerOptions, manual, new_task, retry_policy,
};
use tokio::{io::AsyncWriteExt, process::Command};
use url::Url;

use super::{ALLOWANCE, SETTLED, leader, none, urls};

/// A name that stands for one server, and later for another.
struct Name {
    proxy: Proxy,
    /// The tests' own way to the server that it stands for now.
    url: Url,
}

impl Name {
    async fn of(stack: &Stack) -> Result<Self> {
        let url = Url::parse(stack.sandbox.database_url())?;
        Ok(Self { proxy: Proxy::to_url(url.as_str()).await?, url })
    }

    fn database(&self) -> &str {
        self.url.path().trim_start_matches('/')
    }

    /// Everybody's connections break; new ones go to the other server.
    fn turn_to(&mut self, port: u16) -> Result<()> {
        self.url.set_port(Some(port)).ok().context("no port")?;
        self.proxy.turn_to(format!("127.0.0.1:{port}"));
        self.proxy.reset();
        Ok(())
    }
}

/// Runs one of PostgreSQL's programs on a database and returns what it writes.
async fn tool(servers: &Servers, name: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut command = Command::new(servers.postgres()?.program().with_file_name(name));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut pipe = child.stdin.take().context("no input")?;
    let write = async move { anyhow::Ok(pipe.write_all(input).await?) };
    let (written, output) = tokio::join!(write, child.wait_with_output());
    let output = output?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    written?;
    Ok(output.stdout)
}

/// Makes a database of the dump on another server, with the same user, password and name.
async fn restore(servers: &Servers, admin: &mut PgConnection, name: &Name, database: &str, dump: &[u8]) -> Result<()> {
    let (user, password) = (name.url.username(), name.url.password().unwrap_or_default());
    admin.execute(AssertSqlSafe(format!("alter role \"{user}\" password '{password}'"))).await?;
    admin.execute(AssertSqlSafe(format!("create database \"{database}\""))).await?;
    let mut url = name.url.clone();
    url.set_port(Some(servers.postgres()?.port())).ok().context("no port")?;
    url.set_path(database);
    tool(servers, "psql", &["--quiet", "-v", "ON_ERROR_STOP=1", url.as_str()], dump).await?;
    Ok(())
}

async fn newest(pool: &PgPool) -> Result<Position> {
    History::read(pool).await?.positions().last().copied().context("no events")
}

/// What a person may do to tasks that came through the restore.
struct Waiting {
    ready: Vec<NewTask>,
    open: NewTask,
    to_delete: NewTask,
    to_update: NewTask,
    canceled: NewTask,
    held: RawWorker,
}

impl Waiting {
    async fn make(client: &Client, url: &str) -> Result<Self> {
        let open = manual();
        let (to_delete, to_update, canceled) = (manual(), manual(), manual());
        for task in [&open, &to_delete, &to_update, &canceled] {
            client.create_task(task.clone()).await?;
        }
        client.cancel_task(&canceled.id, "for now").await?;
        let ready: Vec<NewTask> = (0..5).map(|_| new_task("later")).collect();
        client.create_tasks(ready.clone()).await?;
        let held = WorkerOptions { kinds: vec!["held".into()], slots: 1, ..WorkerOptions::default() };
        let held = RawWorker::open(url, held).await?;
        client.create_task(NewTask { retry: retry_policy(1), ..new_task("held") }).await?;
        Ok(Self { ready, open, to_delete, to_update, canceled, held })
    }

    /// All of it goes on, as if nothing had been.
    async fn go_on(self, client: &Client, pods: &[Pod]) -> Result<()> {
        let kinds = vec!["later".to_owned()];
        let mut later = RawWorker::open(&pods[0].url(), WorkerOptions { kinds, ..WorkerOptions::default() }).await?;
        for run in later.runs(self.ready.len(), SETTLED).await? {
            later.complete(&run).await?;
            ensure!(later.verdict(&run, ALLOWANCE).await? == Verdict::Recorded);
        }
        later.goodbye().await?;
        client.complete_task(&self.open.id, "").await?;
        client.delete_task(&self.to_delete.id).await?;
        let update = UpdateTaskRequest {
            id: self.to_update.id.clone(),
            task: Some(TaskUpdate { title: "restored".into(), ..TaskUpdate::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["title".into()] }),
            version: 0,
        };
        client.update_task(update).await?;
        ensure!(client.retry_task(&self.canceled.id).await?.state() == TaskState::Open);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_is_restored_into_another_server_under_running_pods() -> Result<()> {
    let (old, stack) = Stack::private().await?;
    let new = Servers::private(&[]).await?;
    let mut name = Name::of(&stack).await?;
    let database = name.database().to_owned();
    let through = name.proxy.url_through(name.url.as_str())?;
    // The old server is further: 30,000 transactions.
    let burn = "do $$ begin for i in 1..30000 loop perform pg_current_xact_id(); commit; end loop; end $$";
    stack.pool.execute(burn).await?;
    let mut pods = Vec::new();
    for _ in 0..2 {
        pods.push(stack.pod_with(&[("--database-url", &through)]).await?);
    }
    leader(&pods, ALLOWANCE).await?;
    let client = Client::new(Pods::connect(urls(&pods), taskyard_tests::token())?);

    // What is in the dump: a history, tasks in every state, a run that its worker holds.
    let mut load = Load::start(&stack.pool, LoadOptions::new(&urls(&pods)))?;
    load.goes_on(20, ALLOWANCE).await?;
    let middle = newest(&stack.pool).await?;
    load.goes_on(30, ALLOWANCE).await?;
    load.settle(SETTLED).await?;
    let mut waiting = Waiting::make(&client, &pods[0].url()).await?;
    let held = waiting.held.next_run(ALLOWANCE).await?.context("no run came")?;
    let at_dump = History::read(&stack.pool).await?;
    let end = *at_dump.positions().last().context("no events")?;
    let listener = Listener::open(&urls(&pods), Some(end)).await?;
    let dump = tool(&old, "pg_dump", &[name.url.as_str()], &[]).await?;

    // What is not: the restored database knows nothing of it.
    for _ in 0..10 {
        client.create_task(manual()).await?;
    }
    let beyond = newest(&stack.pool).await?;
    listener.reaches(beyond, ALLOWANCE).await?;
    ensure!(middle < end && end < beyond);
    let terms: u64 = pods.iter().map(Pod::term).max().unwrap_or_default();

    // The worker gives signs of life all the while.
    let held = tokio::spawn(async move {
        let worker = &mut waiting.held;
        worker.listen(Duration::from_secs(6)).await?;
        anyhow::Ok((waiting, held))
    });
    let mut admin = PgConnection::connect(new.postgres_url()).await?;
    restore(&new, &mut admin, &name, &database, &dump).await?;
    old.postgres()?.stop().await?;
    name.turn_to(new.postgres()?.port())?;
    let pool = PgPool::connect(name.url.as_str()).await?;
    let led = eventually(ALLOWANCE * 2, "a pod leads in a new term", async || {
        pods.iter().position(|pod| pod.leads() && pod.term() > terms)
    })
    .await?;
    println!("term {} after {terms}", pods[led].term());
    let (mut waiting, held) = held.await??;

    // The run goes on: its worker and its pod were there all the time.
    waiting.held.complete(&held).await?;
    ensure!(waiting.held.verdict(&held, SETTLED).await? == Verdict::Recorded, "the held run was lost");
    waiting.held.goodbye().await?;
    // The watch that has seen what is no more is told so, although nothing has happened since.
    eventually(ALLOWANCE * 2, "the open watch is reset", async || listener.heard().resets.first().copied()).await?;
    waiting.go_on(&client, &pods).await?;
    sqlx::query("delete from tasks.sessions where not is_open").execute(&pool).await?;

    readers_go_on(&pool, &client, &pods, middle, end, beyond).await?;
    stream_goes_on(&stack, &client, &pool, end).await?;
    let history = everybody_works(&pool, load, &pods, &listener).await?;
    let epochs: Vec<i32> = history.events.iter().map(|event| event.epoch).collect();
    ensure!(epochs.first() == Some(&1) && epochs.last() > Some(&1), "{:?} to {:?}", epochs.first(), epochs.last());
    restored_again(&new, &mut admin, &mut name, &dump, &pods, &history).await?;
    pool.close().await;
    drop(listener);
    drop(pods);
    Ok(())
}

/// Watches and lists from old positions.
async fn readers_go_on(
    pool: &PgPool,
    client: &Client,
    pods: &[Pod],
    middle: Position,
    end: Position,
    beyond: Position,
) -> Result<()> {
    let reset = Listener::open(&urls(pods), Some(beyond)).await?;
    ensure!(reset.heard().resets.len() == 1, "a watch from beyond the end is not reset: {:?}", reset.heard());
    let from_middle = Listener::open(&urls(pods), Some(middle)).await?;
    let from_end = Listener::open(&urls(pods), Some(end)).await?;
    client.create_task(manual()).await?;
    let history = History::read(pool).await?;
    let positions = history.positions();
    let last = *positions.last().context("no events")?;
    ensure!(last.epoch > end.epoch, "{last:?}");
    for (listener, from) in [(&from_middle, middle), (&from_end, end)] {
        let heard = listener.reaches(last, ALLOWANCE).await?;
        let expected: Vec<Position> = positions.iter().copied().filter(|position| *position > from).collect();
        ensure!(heard.positions == expected && heard.resets.is_empty(), "a watch from {from} missed something");
    }
    let mut listed = Vec::new();
    let mut request = ListEventsRequest { position: middle.to_string(), ..ListEventsRequest::default() };
    loop {
        let page = client.list_events(request.clone()).await?;
        for event in page.events {
            listed.push(event.position.parse::<Position>()?);
        }
        request.position = page.position;
        if !page.more {
            break;
        }
    }
    ensure!(listed.iter().eq(positions.iter().filter(|position| **position > middle)), "ListEvents missed something");
    let request = ListEventsRequest { position: beyond.to_string(), ..ListEventsRequest::default() };
    let refused = client.list_events(request).await.err().context("a list from beyond the end says nothing")?;
    ensure!(refused.code == ErrorCode::InvalidInput && refused.violations[0].field == "position", "{refused:?}");
    Ok(())
}

/// A consumer of the stream at the end of the closed epoch gets to the newest event by batches and what it fetches.
async fn stream_goes_on(stack: &Stack, client: &Client, pool: &PgPool, end: Position) -> Result<()> {
    let bus = Bus::connect(BusOptions {
        url: stack.sandbox.nats_url().to_owned(),
        prefix: stack.sandbox.prefix().to_owned(),
        client_name: "follower".to_owned(),
        events_age_max: Duration::from_secs(3_600),
        events_bytes_max: 1 << 20,
    })
    .await?;
    let log = eventually(ALLOWANCE, "the stream is there", async || bus.event_log().await.ok()).await?;
    let (until, stops_at) = tokio::sync::oneshot::channel();
    let follower = super::late::Follower::new(client.clone(), end);
    let following = tokio::spawn(follower.follow(log, stops_at));
    client.create_task(manual()).await?;
    let positions = History::read(pool).await?.positions();
    ensure!(until.send(*positions.last().context("no events")?).is_ok(), "the follower has ended");
    let read = tokio::time::timeout(SETTLED, following).await???.read;
    let expected = positions.iter().filter(|position| **position > end);
    ensure!(read.iter().eq(expected), "a consumer of the stream missed something");
    Ok(())
}

/// The workers that were there before the restore have all their slots, and so have others, for new tasks.
async fn everybody_works(pool: &PgPool, mut load: Load, pods: &[Pod], listener: &Listener) -> Result<History> {
    load.read_from(pool);
    load.fill_slots("default", SETTLED).await?;
    none("of the workers from before", load.tell().await?.faults())?;
    let mut load = Load::start(pool, LoadOptions::new(&urls(pods)))?;
    load.goes_on(100, ALLOWANCE * 2).await?;
    load.settle(SETTLED).await?;
    load.fill_slots("default", SETTLED).await?;
    let told = load.tell().await?;
    none("after the restore", told.faults())?;
    let positions = told.history.positions();
    let heard = listener.reaches(*positions.last().context("no events")?, ALLOWANCE).await?;
    let reset = *heard.resets.first().context("no reset")?;
    let after = heard.positions.iter().filter(|position| position.epoch == reset.epoch);
    ensure!(
        after.eq(positions.iter().filter(|position| **position > reset)),
        "after its reset the watch missed something"
    );
    Ok(told.history)
}

/// The same dump once more, as when the first attempt was not good: what readers saw in between is unknown to it, too.
async fn restored_again(
    servers: &Servers,
    admin: &mut PgConnection,
    name: &mut Name,
    dump: &[u8],
    pods: &[Pod],
    history: &History,
) -> Result<()> {
    let between = *history.positions().last().context("no events")?;
    let terms: u64 = pods.iter().map(Pod::term).max().unwrap_or_default();
    restore(servers, admin, name, "again", dump).await?;
    name.proxy.turn_to("127.0.0.1:1");
    name.proxy.reset();
    let database = name.database();
    let rename = [
        format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'"),
        format!("alter database \"{database}\" rename to \"between\""),
        format!("alter database \"again\" rename to \"{database}\""),
    ];
    for sql in rename {
        admin.execute(AssertSqlSafe(sql)).await?;
    }
    name.turn_to(servers.postgres()?.port())?;
    eventually(ALLOWANCE * 2, "a pod leads in a new term", async || {
        pods.iter().any(|pod| pod.leads() && pod.term() > terms).then_some(())
    })
    .await?;
    let reset = Listener::open(&urls(pods), Some(between)).await?;
    ensure!(reset.heard().resets.len() == 1, "a watch from the first attempt is not reset: {:?}", reset.heard());
    let pool = PgPool::connect(name.url.as_str()).await?;
    let mut load = Load::start(&pool, LoadOptions::new(&urls(pods)))?;
    load.goes_on(50, ALLOWANCE * 2).await?;
    load.settle(SETTLED).await?;
    none("after the second restore", load.tell().await?.faults())?;
    pool.close().await;
    Ok(())
}
