//! ListEvents: pages, what an event says, and the order.

use anyhow::Result;
use taskyard_core::{ErrorCode, Position};
use taskyard_proto::v1::{Event, EventType, ListEventsRequest, NewTask, TaskState, TaskUpdate, WatchTasksRequest};
use taskyard_tests::{SOON, Setup, manual, noop, read, retry_policy, time};
use uuid::Uuid;

use crate::expect::{NEVER, next_run, refused, wrong_fields};

async fn page(setup: &Setup, position: &str, task_id: &str, page_size: u32) -> Result<(Vec<Event>, String, bool)> {
    let request = ListEventsRequest { position: position.into(), task_id: task_id.into(), page_size };
    let page = read(setup.tasks.clone().list_events(request).await)?;
    Ok((page.events, page.position, page.more))
}

#[tokio::test]
async fn an_event_says_what_happened_to_whom() -> Result<()> {
    let setup = Setup::open().await?;
    let mut worker = setup.worker_with(1).await?;
    let new = NewTask {
        queue: "q".into(),
        title: "before".into(),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        retry: retry_policy(2),
        ..noop()
    };
    let task = setup.create(new).await?;
    let run = next_run(&mut worker).await?;
    worker.fail(&run, "first").await?;
    let run = next_run(&mut worker).await?;
    worker.hand_back(&run).await?;
    let run = next_run(&mut worker).await?;
    worker.fail(&run, "second").await?;
    setup.until(&task.id, TaskState::Dead).await?;
    setup.update(&task.id, "title", TaskUpdate { title: "after".into(), ..TaskUpdate::default() }, 0).await?;
    worker.slots(0).await?;
    setup.retry(&task.id).await?;
    setup.cancel(&task.id, "enough").await?;
    let events = setup.events_until(&task.id, 11).await?;

    use EventType as E;
    use TaskState as S;
    let expected = [
        (E::Created, S::Unspecified, S::Ready, 0, 0, "", "", false),
        (E::Started, S::Ready, S::Running, 1, 0, "", "", false),
        (E::Retrying, S::Running, S::Scheduled, 1, 1, "first", "", true),
        (E::Due, S::Scheduled, S::Ready, 1, 1, "", "", false),
        (E::Started, S::Ready, S::Running, 2, 1, "", "", false),
        (E::Returned, S::Running, S::Ready, 2, 1, "", "handed_back", false),
        (E::Started, S::Ready, S::Running, 3, 1, "", "", false),
        (E::Dead, S::Running, S::Dead, 3, 2, "second", "", true),
        (E::Updated, S::Dead, S::Dead, 3, 2, "", "", false),
        (E::Retrying, S::Dead, S::Ready, 3, 0, "", "revived", false),
        (E::Canceled, S::Ready, S::Canceled, 3, 0, "enough", "", false),
    ];
    assert_eq!(events.len(), expected.len());
    for ((event, expected), version) in events.iter().zip(expected).zip(1..) {
        let found = (
            event.r#type(),
            event.from_state(),
            event.to_state(),
            event.run,
            event.attempt,
            event.error.as_str(),
            event.reason.as_str(),
            event.counted,
        );
        assert_eq!(found, expected, "event {version}");
        assert_eq!(
            (event.version, event.task_id.as_str(), event.namespace.as_str()),
            (version, task.id.as_str(), "default")
        );
        assert_eq!((event.queue.as_str(), event.kind.as_str()), ("q", "noop"));
        // As they are when the event is read.
        assert_eq!((event.title.as_str(), event.labels["team"].as_str()), ("after", "a"));
    }
    assert!(
        events.is_sorted_by_key(|event| (event.position.parse::<Position>().expect("a position"), time(event.time)))
    );
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn events_come_in_pages_without_gap_or_double() -> Result<()> {
    let setup = Setup::open().await?;
    assert_eq!(page(&setup, "", "", 0).await?, (vec![], "0.0.0".to_owned(), false));
    let task = setup.create(manual()).await?;
    setup.create_all((0..250).map(|_| manual()).collect()).await?;
    for n in 0..20 {
        setup.update(&task.id, "title", TaskUpdate { title: n.to_string(), ..TaskUpdate::default() }, 0).await?;
    }
    setup.events_until(&task.id, 21).await?;
    let (all, end, more) = page(&setup, "", "", 1_000).await?;
    assert_eq!((all.len(), more), (271, false));
    assert_eq!(all.last().map(|event| event.position.as_str()), Some(end.as_str()));
    assert_eq!(page(&setup, "", "", 0).await?.0, all[..100], "100 if nothing is said");
    for (task_id, expected) in
        [("", all.clone()), (task.id.as_str(), all.iter().filter(|event| event.task_id == task.id).cloned().collect())]
    {
        for size in [1, 7, 250] {
            let (mut seen, mut position) = (Vec::new(), String::new());
            // One by one would take long.
            while size > 1 || seen.len() < 30 {
                let (events, next, more) = page(&setup, &position, task_id, size).await?;
                assert!(events.len() <= size as usize && (!more || events.len() == size as usize));
                seen.extend(events);
                position = next;
                if !more {
                    break;
                }
            }
            assert_eq!(seen, expected[..seen.len()]);
            assert!(size == 1 || seen.len() == expected.len());
        }
    }
    // At the end one stays there, and goes on when there is more.
    assert_eq!(page(&setup, &end, "", 10).await?, (vec![], end.clone(), false));
    let task = setup.create(manual()).await?;
    setup.events_until(&task.id, 1).await?;
    assert_eq!(page(&setup, &end, "", 10).await?.0.len(), 1);

    assert!(page(&setup, "", &Uuid::now_v7().to_string(), 10).await?.0.is_empty());
    for (field, position, task_id) in [("position", "x", ""), ("position", "1.2.-3", ""), ("task_id", "", "x")] {
        let request = ListEventsRequest { position: position.into(), task_id: task_id.into(), page_size: 1 };
        let answer = read(setup.tasks.clone().list_events(request).await);
        assert_eq!(wrong_fields(answer), [field]);
    }
    assert_eq!(refused(setup.get("x").await), ErrorCode::InvalidInput);
    setup.close().await
}

#[tokio::test]
async fn what_commits_late_never_hides_behind_a_position() -> Result<()> {
    let setup = Setup::open().await?;
    let mut watch = setup.tasks.clone().watch_tasks(WatchTasksRequest::default()).await?.into_inner();
    watch.message().await?;
    // A slow transaction that has written.
    let mut slow = setup.stack.pool.begin().await?;
    sqlx::query("select pg_current_xact_id()").execute(&mut *slow).await?;
    let task = setup.create(manual()).await?;
    assert_eq!(setup.get(&task.id).await?.version, 1, "the task itself is there");
    let seen = tokio::time::timeout(NEVER, watch.message()).await;
    assert!(seen.is_err(), "its event waits for the older transaction: {seen:?}");
    assert!(setup.events(&task.id).await?.is_empty());
    assert!(page(&setup, "", "", 10).await?.0.is_empty());
    // It writes an event of its own, which comes first.
    let other = Uuid::now_v7();
    sqlx::query(
        "insert into tasks.events (at, xact, namespace, epoch, task_id, version, run, type, attempt, returns, queue, kind) \
         values (now(), pg_current_xact_id()::text::bigint, 1, (select max(epoch) from tasks.epochs), $1, 1, 0, 1, 0, 0, \
         'q', 'k')",
    )
    .bind(other)
    .execute(&mut *slow)
    .await?;
    slow.commit().await?;
    setup.events_until(&task.id, 1).await?;
    let (events, ..) = page(&setup, "", "", 10).await?;
    let expected = [other.to_string(), task.id];
    assert_eq!(events.iter().map(|event| event.task_id.clone()).collect::<Vec<_>>(), expected);
    for expected in expected {
        let message = tokio::time::timeout(SOON, watch.message()).await??.and_then(|message| message.message);
        let Some(taskyard_proto::v1::watch_tasks_response::Message::Event(event)) = message else {
            anyhow::bail!("not an event: {message:?}")
        };
        assert_eq!(event.task_id, expected);
    }
    drop(watch);
    setup.close().await
}
