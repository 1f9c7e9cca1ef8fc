//! WatchTasks: live, and on from a position, without gap or double.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use taskyard_core::{ErrorCode, Position, limits};
use taskyard_proto::{
    status::from_status,
    v1::{
        Event, EventType, ListEventsRequest, NewTask, TaskUpdate, WatchTasksRequest, WatchTasksResponse,
        watch_tasks_response::Message,
    },
};
use taskyard_tests::{Pod, SOON, Setup, WorkerOptions, manual, noop, read, retry_policy};
use tonic::Streaming;

use crate::expect::{NEVER, next_run, refused, wrong_fields};

/// An open watch, and where it began.
struct Watch {
    stream: Streaming<WatchTasksResponse>,
    position: String,
}

/// What the first message of a watch can be.
enum First {
    Opened(Box<Watch>),
    Reset(String),
}

async fn begin(pod: &Pod, request: WatchTasksRequest) -> Result<First> {
    let mut stream = pod.tasks().await?.watch_tasks(request).await?.into_inner();
    let first = tokio::time::timeout(SOON, stream.message()).await??.context("a first message")?;
    match first.message {
        Some(Message::Opened(opened)) => Ok(First::Opened(Box::new(Watch { stream, position: opened.position }))),
        Some(Message::Reset(reset)) => {
            anyhow::ensure!(stream.message().await?.is_none(), "a reset ends the stream");
            Ok(First::Reset(reset.position))
        }
        other => bail!("not a first message: {other:?}"),
    }
}

async fn watch(pod: &Pod, request: WatchTasksRequest) -> Result<Watch> {
    match begin(pod, request).await? {
        First::Opened(watch) => Ok(*watch),
        First::Reset(position) => bail!("it is reset to {position}"),
    }
}

async fn watch_from(pod: &Pod, position: &str) -> Result<Watch> {
    watch(pod, WatchTasksRequest { position: position.to_owned(), ..WatchTasksRequest::default() }).await
}

impl Watch {
    async fn event(&mut self, within: Duration) -> Result<Option<Event>> {
        match tokio::time::timeout(within, self.stream.message()).await {
            Ok(Ok(Some(WatchTasksResponse { message: Some(Message::Event(event)) }))) => Ok(Some(event)),
            Ok(other) => bail!("not an event: {other:?}"),
            Err(_) => Ok(None),
        }
    }

    async fn events(&mut self, count: usize) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        while events.len() < count {
            let event = self.event(SOON).await?;
            events.push(event.with_context(|| format!("only {} of {count} events came", events.len()))?);
        }
        Ok(events)
    }

    async fn nothing(&mut self) -> Result<()> {
        match self.event(NEVER).await? {
            Some(event) => bail!("an event came: {event:?}"),
            None => Ok(()),
        }
    }
}

/// All events after a position, as ListEvents has them.
async fn listed(setup: &Setup, position: &str) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    let mut request =
        ListEventsRequest { position: position.to_owned(), page_size: 1_000, ..ListEventsRequest::default() };
    loop {
        let page = read(setup.tasks.clone().list_events(request.clone()).await)?;
        events.extend(page.events);
        request.position = page.position;
        if !page.more {
            return Ok(events);
        }
    }
}

/// The same, once there are so many: a transaction of anybody on the server may hold them up.
async fn listed_until(setup: &Setup, position: &str, count: usize) -> Result<Vec<Event>> {
    let all = async || listed(setup, position).await.ok().filter(|events| events.len() >= count);
    let events = taskyard_testkit::eventually(SOON, format!("{count} events"), all).await?;
    assert_eq!(events.len(), count);
    Ok(events)
}

/// How many events [`make_events`] makes of three tasks: created, started, completed; created, started, retrying, due,
/// started, dead; created, started, canceled.
const OF_THREE: usize = 3 + 6 + 3;

fn parse(position: &str) -> Position {
    position.parse().expect("a position")
}

/// Some tasks with a life, in a queue of their own.
async fn make_events(setup: &Setup, queue: &str, tasks: usize) -> Result<()> {
    let mut worker = setup.worker(WorkerOptions { queues: vec![queue.to_owned()], ..WorkerOptions::default() }).await?;
    for n in 0..tasks {
        let new = NewTask { title: n.to_string(), queue: queue.to_owned(), retry: retry_policy(2), ..noop() };
        let task = setup.create(new).await?;
        let run = next_run(&mut worker).await?;
        match n % 3 {
            0 => worker.complete(&run).await?,
            1 => {
                worker.fail(&run, "broken").await?;
                let run = next_run(&mut worker).await?;
                worker.fail(&run, "again").await?;
            }
            _ => {
                setup.cancel(&task.id, "").await?;
                worker.stopped(&run).await?;
            }
        }
    }
    worker.goodbye().await
}

#[tokio::test]
async fn a_watch_shows_what_happens_from_now_on() -> Result<()> {
    let setup = Setup::open().await?;
    let before = setup.create(manual()).await?;
    setup.events_until(&before.id, 1).await?;
    let mut watch = watch_from(&setup.pod, "").await?;
    make_events(&setup, "a", 9).await?;
    let expected = listed_until(&setup, &watch.position, 3 * OF_THREE).await?;
    let events = watch.events(expected.len()).await?;
    assert_eq!(events, expected);
    watch.nothing().await?;
    assert!(events.is_sorted_by_key(|event| parse(&event.position)));
    drop(watch);
    setup.close().await
}

#[tokio::test]
async fn a_watch_goes_on_after_any_position() -> Result<()> {
    let setup = Setup::open().await?;
    // Of a house in which nothing has happened yet.
    let empty = watch_from(&setup.pod, "").await?.position;
    make_events(&setup, "a", 6).await?;
    let all = listed_until(&setup, "", 2 * OF_THREE).await?;
    assert_eq!(watch_from(&setup.pod, &empty).await?.events(all.len()).await?, all);
    for (n, event) in all.iter().enumerate() {
        let mut watch = watch_from(&setup.pod, &event.position).await?;
        assert_eq!(watch.position, event.position);
        assert_eq!(watch.events(all.len() - n - 1).await?, all[n + 1..]);
    }
    let last = &all.last().context("events")?.position;
    let mut watch = watch_from(&setup.pod, last).await?;
    watch.nothing().await?;
    setup.create(manual()).await?;
    assert_eq!(watch.events(1).await?[0].r#type(), EventType::Created);
    drop(watch);
    setup.close().await
}

#[tokio::test]
async fn who_reconnects_again_and_again_sees_every_event_once() -> Result<()> {
    let setup = Setup::open().await?;
    let second = setup.stack.pod().await?;
    let begin = watch_from(&setup.pod, "").await?.position;
    let steady = watch_from(&second, &begin).await?;
    let work = async {
        let lives = ["a", "b", "c"].map(|queue| make_events(&setup, queue, 39));
        futures::future::try_join_all(lives).await?;
        let last = setup.create(NewTask { title: "the last".into(), ..manual() }).await?;
        Ok::<_, anyhow::Error>(last.id)
    };
    let follow = async |mut watch: Watch, reconnects: bool| {
        let mut seen: Vec<Event> = Vec::new();
        while seen.last().is_none_or(|event| event.title != "the last") {
            let event = watch.event(SOON).await?.context("the last event did not come")?;
            seen.push(event);
            if reconnects && seen.len().is_multiple_of(7) {
                let pod = if seen.len().is_multiple_of(2) { &setup.pod } else { &second };
                watch = watch_from(pod, &seen[seen.len() - 1].position).await?;
            }
        }
        Ok::<_, anyhow::Error>(seen)
    };
    let wandering = watch_from(&setup.pod, &begin).await?;
    let (last, wanderer, steady) = tokio::join!(work, follow(wandering, true), follow(steady, false));
    setup.events_until(&last?, 1).await?;
    let expected = listed_until(&setup, &begin, 39 * OF_THREE + 1).await?;
    assert_eq!(positions(&wanderer?), positions(&expected));
    assert_eq!(positions(&steady?), positions(&expected));
    second.stop().await?;
    setup.close().await
}

fn positions(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.position.as_str()).collect()
}

#[tokio::test]
async fn a_watch_shows_the_task_or_queue_that_it_asks_for() -> Result<()> {
    let setup = Setup::open().await?;
    let in_queue = |queue: &str| NewTask { queue: queue.into(), ..manual() };
    let one = setup.create(in_queue("a")).await?;
    setup.events_until(&one.id, 1).await?;
    let of_task = WatchTasksRequest { task_id: one.id.clone(), ..WatchTasksRequest::default() };
    let mut of_task = watch(&setup.pod, of_task).await?;
    let of_queue = WatchTasksRequest { queue: "b".into(), ..WatchTasksRequest::default() };
    let mut of_queue = watch(&setup.pod, of_queue).await?;
    let of_neither = WatchTasksRequest { task_id: one.id.clone(), queue: "b".into(), ..WatchTasksRequest::default() };
    let mut of_neither = watch(&setup.pod, of_neither).await?;
    let two = setup.create(in_queue("b")).await?;
    setup.update(&one.id, "title", TaskUpdate { title: "new".into(), ..TaskUpdate::default() }, 0).await?;
    setup.complete(&two.id, "").await?;
    setup.complete(&one.id, "").await?;
    let events = of_task.events(2).await?;
    assert!(events.iter().all(|event| event.task_id == one.id && event.title == "new"));
    assert_eq!([events[0].r#type(), events[1].r#type()], [EventType::Updated, EventType::Completed]);
    let events = of_queue.events(2).await?;
    assert!(events.iter().all(|event| event.task_id == two.id && event.queue == "b"));
    for watch in [&mut of_task, &mut of_queue, &mut of_neither] {
        watch.nothing().await?;
    }
    for (field, request) in [
        ("task_id", WatchTasksRequest { task_id: "x".into(), ..WatchTasksRequest::default() }),
        ("queue", WatchTasksRequest { queue: "a b".into(), ..WatchTasksRequest::default() }),
        ("position", WatchTasksRequest { position: "1.2".into(), ..WatchTasksRequest::default() }),
    ] {
        let answer = setup.tasks.clone().watch_tasks(request).await.map(|_| tonic::Response::new(()));
        assert_eq!(wrong_fields(read(answer)), [field]);
    }
    drop((of_task, of_queue, of_neither));
    setup.close().await
}

#[tokio::test]
async fn who_is_too_far_behind_or_ahead_is_told_to_read_anew() -> Result<()> {
    let setup = Setup::open().await?;
    let first = setup.create(manual()).await?;
    setup.events_until(&first.id, 1).await?;
    let start = watch_from(&setup.pod, "").await?.position;
    let most = limits::WATCH_REPLAY_EVENTS_MAX;
    setup.create_all((0..most).map(|_| manual()).collect()).await?;
    let last = setup.create(manual()).await?;
    setup.events_until(&last.id, 1).await?;
    let all = listed_until(&setup, &start, most + 1).await?;
    // As far behind as may be: all comes.
    assert_eq!(watch_from(&setup.pod, &all[0].position).await?.events(most).await?, all[1..]);
    let newest = all[most].position.clone();
    let at = parse(&newest);
    let next_epoch = Position { epoch: at.epoch + 1, ..at };
    let later = Position { xact: at.xact + 1_000, ..at };
    for position in [start, next_epoch.to_string(), later.to_string(), "0.0.0".to_owned()] {
        let request = WatchTasksRequest { position: position.clone(), ..WatchTasksRequest::default() };
        match begin(&setup.pod, request).await? {
            First::Reset(to) => assert_eq!(to, newest),
            First::Opened(_) => bail!("it goes on from {position}"),
        }
    }
    // From where it was told to go on.
    let mut watch = watch_from(&setup.pod, &newest).await?;
    setup.complete(&last.id, "").await?;
    assert_eq!(watch.events(1).await?[0].task_id, last.id);

    // Events that retention has dropped: nobody is left in the belief to have seen all.
    for sql in [
        "delete from tasks.events where version = 1",
        "update tasks.epochs set opened_at = opened_at - interval '60 days'",
    ] {
        sqlx::query(sql).execute(&setup.stack.pool).await?;
    }
    let request = WatchTasksRequest { position: all[500].position.clone(), ..WatchTasksRequest::default() };
    assert!(matches!(begin(&setup.pod, request).await?, First::Reset(_)));
    drop(watch);
    setup.close().await
}

#[tokio::test]
async fn many_watch_at_once_and_one_too_many_is_refused() -> Result<()> {
    let setup = Setup::open().await?;
    let mut watches = Vec::new();
    for _ in 0..limits::WATCHES_MAX {
        let stream = setup.tasks.clone().watch_tasks(WatchTasksRequest::default()).await?.into_inner();
        watches.push(Watch { stream, position: String::new() });
    }
    for watch in &mut watches {
        let first = tokio::time::timeout(SOON, watch.stream.message()).await??.and_then(|first| first.message);
        assert!(matches!(first, Some(Message::Opened(_))));
    }
    let one_more = setup.tasks.clone().watch_tasks(WatchTasksRequest::default()).await;
    let error = from_status(&one_more.expect_err("it is refused"));
    assert_eq!((error.code, error.retry_after.is_some()), (ErrorCode::Exhausted, true));
    let task = setup.create(manual()).await?;
    setup.complete(&task.id, "").await?;
    for watch in &mut watches {
        let events = watch.events(2).await?;
        assert!(events.iter().all(|event| event.task_id == task.id));
    }
    // A seat that was left is free.
    watches.truncate(limits::WATCHES_MAX - 5);
    let again = async || watch_from(&setup.pod, "").await.ok();
    for _ in 0..5 {
        watches.push(taskyard_testkit::eventually(SOON, "a free seat", again).await?);
    }
    let answer = setup.tasks.clone().watch_tasks(WatchTasksRequest::default()).await.map(|_| tonic::Response::new(()));
    assert_eq!(refused(read(answer)), ErrorCode::Exhausted);
    drop(watches);
    setup.close().await
}

#[tokio::test]
async fn a_watch_ends_with_its_pod() -> Result<()> {
    let setup = Setup::open().await?;
    let mut watch = watch_from(&setup.pod, "").await?;
    setup.pod.stop.cancel();
    let end = tokio::time::timeout(SOON, watch.stream.message()).await?;
    assert!(matches!(end, Ok(None) | Err(_)), "{end:?}");
    setup.close().await
}
