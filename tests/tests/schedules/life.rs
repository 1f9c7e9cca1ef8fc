//! A schedule's life: created, shown, changed, paused, run by hand, deleted.

use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{TimeDelta, Utc};
use taskyard_core::{ErrorCode, limits};
use taskyard_proto::v1::{
    GetTaskRequest, ListNextTimesRequest, PreviewScheduleRequest, ScheduleDefinition, ScheduleTimes, TaskState,
    TaskTemplate, TickKind,
};
use taskyard_testkit::eventually;
use taskyard_tests::{Answer, RawWorker, SOON, WorkerOptions, read, seconds, time, timestamp};
use uuid::Uuid;

use crate::rig::{Rig, at_times, cron, every, kinds, once};

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Answer<T>) -> ErrorCode {
    answer.expect_err("it is refused").code
}

#[tokio::test]
async fn each_tick_makes_a_task_that_names_it() -> Result<()> {
    let rig = Rig::open().await?;
    let task = TaskTemplate {
        kind: "noop".into(),
        queue: "reports".into(),
        title: "report".into(),
        description: "of the hour".into(),
        payload: "{\"a\": 1.00}".into(),
        labels: [("team".to_owned(), "growth".to_owned())].into(),
        priority: Some(7),
        timeout: seconds(60),
        ..TaskTemplate::default()
    };
    let schedule = rig.create("report", ScheduleDefinition { task: Some(task), ..every(1) }).await?;
    assert_eq!((schedule.version, schedule.paused, schedule.next_times.len()), (1, false, 5));
    let options = WorkerOptions { kinds: vec!["noop".into()], slots: 10, ..WorkerOptions::default() };
    let mut worker = RawWorker::open(&rig.pod.url(), options).await?;
    let runs = worker.runs(3, SOON).await?;
    rig.pause("report").await?;
    let schedule = rig.get("report").await?;
    for run in &runs {
        assert_eq!(
            (run.queue.as_str(), run.title.as_str(), &run.payload[..]),
            ("reports", "report", &b"{\"a\": 1.00}"[..])
        );
        let tick = schedule.ticks.iter().find(|tick| tick.task_id == run.task_id).expect("its tick");
        assert_eq!(tick.kind(), TickKind::OnTime);
        let late = time(tick.fire_time) - time(tick.time);
        assert!(late >= TimeDelta::zero() && late < TimeDelta::seconds(5), "{late}");
        let request = GetTaskRequest { id: run.task_id.clone() };
        let task = rig.pod.tasks().await?.get_task(request).await?.into_inner().task.unwrap_or_default();
        assert_eq!((task.priority, task.timeout, task.description.as_str()), (7, seconds(60), "of the hour"));
        assert_eq!(task.labels.get("team").map(String::as_str), Some("growth"));
        assert_eq!(task.labels.get("taskyard.schedule").map(String::as_str), Some("report"));
        let named = task.labels.get("taskyard.tick").map(|tick| tick.parse::<chrono::DateTime<Utc>>());
        assert_eq!(named, Some(Ok(time(tick.time))));
    }
    let ticks: Vec<_> = kinds(&schedule.ticks).into_iter().map(|(at, _)| at).collect();
    assert!(ticks.windows(2).all(|pair| pair[1] - pair[0] == TimeDelta::seconds(1)), "{ticks:?}");
    assert_eq!(rig.faults().await?, 0);
    drop(worker);
    rig.close().await
}

#[tokio::test]
async fn a_create_can_be_repeated_and_a_name_is_taken_once() -> Result<()> {
    let rig = Rig::open().await?;
    let (first, created) = rig.create_or_find("a", every(3_600), false).await?;
    assert!(created);
    let (again, created) = rig.create_or_find("a", every(3_600), false).await?;
    assert_eq!((again, created), (first, false), "the anchor that it chose is its own");
    assert_eq!(refused(rig.create("a", every(3_601)).await), ErrorCode::NameTaken);
    // One time that has passed since is known all the same.
    let soon = once(Utc::now() + TimeDelta::seconds(2));
    rig.create("once", soon.clone()).await?;
    let schedule = rig.ticked("once", 1, SOON).await?;
    assert!(schedule.next_times.is_empty(), "{schedule:?}");
    assert!(!rig.create_or_find("once", soon, false).await?.1);
    // Nobody else's task has its id.
    assert_eq!(rig.made("once").await?.len(), 1);
    rig.close().await
}

#[tokio::test]
async fn schedules_come_in_pages_by_name_and_have_a_limit() -> Result<()> {
    let rig = Rig::open().await?;
    let mut names: Vec<String> = (0..12).map(|number| format!("s{number}")).collect();
    for name in &names {
        rig.create(name, every(3_600)).await?;
    }
    names.sort_unstable();
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = rig.list(5, &token).await?;
        assert!(page.schedules.len() <= 5);
        seen.extend(page.schedules.into_iter().map(|schedule| schedule.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, names);
    assert_eq!(refused(rig.list(501, "").await), ErrorCode::InvalidInput);
    assert_eq!(refused(rig.list(5, "\0").await), ErrorCode::InvalidInput);

    let fill = "with made as (
            insert into tasks.schedules (
                namespace, name, creator, once_at, skips_overlap, jitter_ms, priority, attempts_max, timeout_ms,
                backoff_ms, backoff_max_ms, queue, kind, title, description, labels, payload
            )
            select 1, 'z' || n, '', now(), false, 0, 5, 1, 1000, 1, 1, 'q', 'manual', '', '', '{}', 'null'
            from generate_series(1, $1) n returning id
        )
        insert into tasks.schedule_states (schedule, namespace, version, paused) select id, 1, 1, true from made";
    let left = limits::SCHEDULES_MAX.cast_signed() - 12;
    sqlx::query(fill).bind(left).execute(&rig.stack.pool).await?;
    assert_eq!(refused(rig.create("more", every(60)).await), ErrorCode::Exhausted);
    rig.delete("s3").await?;
    rig.create("more", every(60)).await?;
    rig.close().await
}

#[tokio::test]
async fn what_is_not_there_and_what_is_another_namespaces_is_not_found() -> Result<()> {
    let rig = Rig::open().await?;
    rig.create("theirs", every(3_600)).await?;
    for table in ["schedules", "schedule_states"] {
        let sql = format!("update tasks.{table} set namespace = 2");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&rig.stack.pool).await?;
    }
    for name in ["theirs", "nobodys"] {
        assert_eq!(refused(rig.get(name).await), ErrorCode::ScheduleNotFound);
        assert_eq!(refused(rig.update(name, every(60), 0).await), ErrorCode::ScheduleNotFound);
        assert_eq!(refused(rig.pause(name).await), ErrorCode::ScheduleNotFound);
        assert_eq!(refused(rig.resume(name).await), ErrorCode::ScheduleNotFound);
        assert_eq!(refused(rig.trigger(name, "").await), ErrorCode::ScheduleNotFound);
        assert_eq!(refused(rig.delete(name).await), ErrorCode::ScheduleNotFound);
        let next = ListNextTimesRequest { name: name.into(), count: 0 };
        assert_eq!(refused(read(rig.schedules.clone().list_next_times(next).await)), ErrorCode::ScheduleNotFound);
    }
    assert!(rig.list(0, "").await?.schedules.is_empty());
    // The name is free here, and both tick for themselves.
    let (_, created) = rig.create_or_find("theirs", every(1), false).await?;
    assert!(created);
    let theirs = "update tasks.schedule_states set next_at = now() where namespace = 2";
    sqlx::query(theirs).execute(&rig.stack.pool).await?;
    rig.ticked("theirs", 2, SOON).await?;
    let made = "select count(*) from tasks.active where namespace = 2";
    eventually(SOON, "their task", async || (rig.stack.number(made).await.ok()? == 1).then_some(())).await?;
    assert_eq!(rig.stack.number("select count(*) from tasks.active where namespace not in (1, 2)").await?, 0);
    rig.close().await
}

#[tokio::test]
async fn a_pause_is_never_caught_up() -> Result<()> {
    let rig = Rig::open().await?;
    let all = ScheduleDefinition { catch_up: taskyard_proto::v1::CatchUp::All.into(), catch_up_max: 100, ..every(1) };
    rig.create("s", all).await?;
    rig.ticked("s", 1, SOON).await?;
    let paused = rig.pause("s").await?;
    assert!(paused.paused && paused.next_times.is_empty() && paused.version == 2, "{paused:?}");
    assert_eq!(rig.pause("s").await?.version, 2, "it is so already");
    let ticked = rig.get("s").await?.ticks;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(rig.get("s").await?.ticks, ticked, "nothing ticks in a pause");
    let resumed = rig.resume("s").await?;
    let first = time(resumed.next_times.first().copied());
    assert!(first > time(Some(resumed.update_time.unwrap_or_default())), "{resumed:?}");
    let schedule = rig.ticked("s", ticked.len() + 2, SOON).await?;
    let newer: Vec<_> = kinds(&schedule.ticks).into_iter().skip(ticked.len()).collect();
    assert_eq!(newer[0], (first, TickKind::OnTime));
    // One that is created so waits as well.
    let (waits, _) = rig.create_or_find("waits", every(1), true).await?;
    assert!(waits.paused && waits.next_times.is_empty());
    rig.resume("waits").await?;
    rig.ticked("waits", 1, SOON).await?;
    assert_eq!(rig.faults().await?, 0);
    rig.close().await
}

#[tokio::test]
async fn a_run_by_hand_can_be_repeated_and_leaves_the_ticks_alone() -> Result<()> {
    let rig = Rig::open().await?;
    let schedule = rig.create("s", every(3_600)).await?;
    let id = Uuid::now_v7().to_string();
    let run = rig.trigger("s", &id).await?;
    assert_eq!((run.task_id.as_str(), run.created), (id.as_str(), true));
    let run = rig.trigger("s", &id).await?;
    assert_eq!((run.task_id.as_str(), run.created), (id.as_str(), false));
    let second = rig.trigger("s", "").await?;
    assert!(second.created && second.task_id != id);
    rig.pause("s").await?;
    rig.trigger("s", "").await?;
    let shown = rig.get("s").await?;
    assert!(shown.ticks.iter().all(|tick| tick.kind() == TickKind::ByHand) && shown.ticks.len() == 3, "{shown:?}");
    assert_eq!(rig.made("s").await?, [None, None, None], "a run by hand is no tick");
    assert_eq!(rig.resume("s").await?.next_times, schedule.next_times);
    // An id that is another task's is not the schedule's to take.
    rig.create("other", every(3_600)).await?;
    assert_eq!(refused(rig.trigger("other", &id).await), ErrorCode::IdTaken);
    assert_eq!(refused(rig.trigger("s", "x").await), ErrorCode::InvalidInput);
    assert_eq!(refused(rig.trigger("s", &Uuid::new_v4().to_string()).await), ErrorCode::InvalidInput);
    assert_eq!(rig.stack.count(TaskState::Open).await?, 3);
    rig.close().await
}

#[tokio::test]
async fn an_update_in_the_middle_changes_what_comes_and_nothing_else() -> Result<()> {
    let rig = Rig::open().await?;
    let mut definition = every(1);
    let created = rig.create("s", definition.clone()).await?;
    rig.ticked("s", 2, SOON).await?;
    // What each tick makes changes, the ticks do not.
    if let Some(task) = &mut definition.task {
        task.title = "changed".into();
    }
    let updated = rig.update("s", definition.clone(), created.version).await?;
    assert_eq!(updated.version, 2);
    assert_eq!(rig.update("s", definition.clone(), 2).await?.version, 2, "it is so already");
    assert_eq!(refused(rig.update("s", every(5), 1).await), ErrorCode::VersionMismatch);
    let schedule = rig.ticked("s", 6, SOON).await?;
    let ticks = kinds(&schedule.ticks);
    assert!(ticks.windows(2).all(|pair| pair[1].0 - pair[0].0 == TimeDelta::seconds(1)), "none is left out: {ticks:?}");
    let titles = "select count(distinct title) from tasks.documents";
    assert_eq!(rig.stack.number(titles).await?, 2);
    // Other times count from now on.
    let hourly = rig.update("s", ScheduleDefinition { task: definition.task, ..cron("@hourly", "UTC") }, 0).await?;
    let next = time(hourly.next_times.first().copied());
    assert_eq!((next.timestamp() % 3_600, next > Utc::now() - TimeDelta::seconds(5)), (0, true));
    let before = rig.get("s").await?.ticks.first().cloned();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(rig.get("s").await?.ticks.first().cloned(), before);
    assert_eq!(rig.faults().await?, 0);
    rig.close().await
}

#[tokio::test]
async fn updates_race_ticks_and_no_tick_comes_twice() -> Result<()> {
    let rig = Rig::open().await?;
    rig.create("s", every(1)).await?;
    let begun = Instant::now();
    let mut number = 0_u32;
    while number < 60 || rig.made("s").await?.len() < 3 {
        assert!(begun.elapsed() < SOON, "no ticks beside updates");
        number += 1;
        let mut definition = if number.is_multiple_of(2) { every(1) } else { cron("* * * * * *", "Europe/Berlin") };
        if let Some(task) = &mut definition.task {
            task.title = number.to_string();
        }
        rig.update("s", definition, 0).await?;
        if number % 10 == 5 {
            rig.pause("s").await?;
            rig.resume("s").await?;
        }
        tokio::time::sleep(Duration::from_millis(70)).await;
    }
    assert_eq!(rig.faults().await?, 0);
    rig.close().await
}

#[tokio::test]
async fn a_deleted_schedule_leaves_its_tasks() -> Result<()> {
    let rig = Rig::open().await?;
    rig.create("s", every(1)).await?;
    rig.ticked("s", 2, SOON).await?;
    rig.delete("s").await?;
    let made = rig.made("s").await?;
    assert!(made.len() >= 2);
    assert_eq!(refused(rig.get("s").await), ErrorCode::ScheduleNotFound);
    assert_eq!(rig.stack.number("select count(*) from tasks.schedule_ticks").await?, 0);
    assert_eq!(rig.stack.number("select count(*) from tasks.schedule_states").await?, 0);
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    assert_eq!(rig.made("s").await?, made, "nothing ticks any more");
    assert_eq!(rig.stack.count(TaskState::Open).await?, made.len() as i64);
    // The name is free, and its history is new.
    let (again, created) = rig.create_or_find("s", every(3_600), false).await?;
    assert!(created && again.ticks.is_empty());
    rig.close().await
}

#[tokio::test]
async fn jitter_delays_the_task_and_not_the_tick() -> Result<()> {
    let rig = Rig::open().await?;
    let definition = ScheduleDefinition {
        jitter: seconds(3_600),
        task: Some(TaskTemplate { kind: "noop".into(), ..TaskTemplate::default() }),
        ..every(1)
    };
    rig.create("s", definition).await?;
    let schedule = rig.ticked("s", 3, SOON).await?;
    rig.pause("s").await?;
    assert!(schedule.ticks.iter().all(|tick| tick.kind() == TickKind::OnTime && !tick.task_id.is_empty()));
    let spread =
        "select count(*) from tasks.active where state = 2 and due_at between now() and now() + interval '1 hour'";
    assert!(rig.stack.number(spread).await? >= 2, "nearly all wait");
    assert!(rig.stack.number("select count(distinct due_at) from tasks.active").await? >= 3);
    rig.close().await
}

#[tokio::test]
async fn next_times_of_what_is_saved_and_of_what_is_not() -> Result<()> {
    let rig = Rig::open().await?;
    rig.create("s", cron("30 2 * * *", "Europe/Berlin")).await?;
    let next = |count| {
        let mut schedules = rig.schedules.clone();
        async move { read(schedules.list_next_times(ListNextTimesRequest { name: "s".into(), count }).await) }
    };
    assert_eq!((next(0).await?.times.len(), next(100).await?.times.len()), (5, 100));
    assert_eq!(refused(next(101).await), ErrorCode::InvalidInput);
    assert_eq!(next(5).await?.times, rig.get("s").await?.next_times);
    let after = "2027-03-27T12:00:00Z".parse::<chrono::DateTime<Utc>>()?;
    let times = ScheduleTimes { cron: "30 2 * * *".into(), time_zone: "Europe/Berlin".into(), ..Default::default() };
    let request = PreviewScheduleRequest { times: Some(times), count: 2, after_time: timestamp(after) };
    let preview = read(rig.schedules.clone().preview_schedule(request).await)?;
    let shown: Vec<_> = preview.times.iter().map(|at| time(Some(*at)).to_rfc3339()).collect();
    assert_eq!(shown, ["2027-03-28T01:00:00+00:00", "2027-03-29T00:30:00+00:00"]);
    assert_eq!(rig.list(0, "").await?.schedules.len(), 1, "a preview saves nothing");
    let ended = at_times(ScheduleTimes {
        every: seconds(60),
        end_time: timestamp(Utc::now() + TimeDelta::seconds(1)),
        ..Default::default()
    });
    let error = rig.create("ended", ended).await.expect_err("no tick would come");
    assert_eq!(error.violations.first().map(|wrong| wrong.field.as_str()), Some("times.end_time"));
    rig.close().await
}

#[tokio::test]
async fn a_thousand_schedules_tick_at_one_moment() -> Result<()> {
    let rig = Rig::open().await?;
    let at = Utc::now() + TimeDelta::seconds(3_600);
    for chunk in 0..10 {
        let creates = (0..100).map(|number| {
            let name = format!("s{chunk}-{number}");
            let rig = &rig;
            async move { rig.create(&name, once(at)).await }
        });
        futures::future::try_join_all(creates).await?;
    }
    sqlx::query("update tasks.schedules set once_at = now()").execute(&rig.stack.pool).await?;
    sqlx::query("update tasks.schedule_states set next_at = now()").execute(&rig.stack.pool).await?;
    rig.stack.wait_for(TaskState::Open, 1_000, SOON).await?;
    assert_eq!(rig.stack.number("select count(*) from tasks.schedule_states where next_at is not null").await?, 0);
    assert_eq!(rig.stack.count(TaskState::Open).await?, 1_000);
    assert_eq!(rig.faults().await?, 0);
    rig.close().await
}
