//! An outage of ours: what becomes of the ticks that nobody could fire.

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use taskyard_proto::v1::{CatchUp, Overlap, ScheduleDefinition, TickKind};
use taskyard_tests::{Stack, time};

use crate::rig::{Rig, every, every_since, kinds};

/// As if no pod had run for the last ten hours.
async fn ten_hours_pass(stack: &Stack) -> Result<()> {
    let sql = "update tasks.schedule_states set next_at = next_at - interval '10 hours' where next_at is not null";
    sqlx::query(sql).execute(&stack.pool).await?;
    Ok(())
}

fn with(catch_up: CatchUp, most: u32) -> ScheduleDefinition {
    ScheduleDefinition { catch_up: catch_up.into(), catch_up_max: most, ..every_since(3_600, TimeDelta::minutes(30)) }
}

#[tokio::test]
async fn ten_missed_ticks_under_each_policy() -> Result<()> {
    let rig = Rig::open().await?;
    rig.create("skip", with(CatchUp::Skip, 0)).await?;
    rig.create("once", with(CatchUp::Once, 0)).await?;
    rig.create("four", with(CatchUp::All, 4)).await?;
    rig.create("all", with(CatchUp::All, 100)).await?;
    let alone = ScheduleDefinition { overlap: Overlap::Skip.into(), ..with(CatchUp::All, 100) };
    rig.create("alone", alone).await?;
    let (paused, _) = rig.create_or_find("paused", with(CatchUp::All, 100), true).await?;
    assert!(paused.paused);
    let rig = rig.down_while(ten_hours_pass).await?;

    let expected = |first: DateTime<Utc>, kind: &dyn Fn(i32) -> TickKind| -> Vec<_> {
        (0..10).map(|number| (first + TimeDelta::hours(number.into()), kind(number))).collect()
    };
    for (name, tasks, kind) in [
        ("skip", 0, (&|_| TickKind::Missed) as &dyn Fn(i32) -> TickKind),
        ("once", 1, &|number| if number == 9 { TickKind::CaughtUp } else { TickKind::Missed }),
        ("four", 4, &|number| if number >= 6 { TickKind::CaughtUp } else { TickKind::Missed }),
        ("all", 10, &|_| TickKind::CaughtUp),
        ("alone", 1, &|number| if number == 9 { TickKind::CaughtUp } else { TickKind::Overlapped }),
    ] {
        let schedule = rig.caught_up(name).await?;
        let next = time(schedule.next_times.first().copied());
        assert_eq!(kinds(&schedule.ticks), expected(next - TimeDelta::hours(10), kind), "{name}");
        assert_eq!(rig.made(name).await?.len(), tasks, "{name}");
        // And it goes on where it would have.
        assert!(next > Utc::now() && next < Utc::now() + TimeDelta::hours(1), "{name}: {next}");
    }
    assert!(rig.made("paused").await?.is_empty() && rig.get("paused").await?.ticks.is_empty());
    assert_eq!(rig.faults().await?, 0);
    rig.close().await
}

#[tokio::test]
async fn a_short_outage_loses_no_tick_whatever_the_policy() -> Result<()> {
    let rig = Rig::open().await?;
    rig.create("s", ScheduleDefinition { catch_up: CatchUp::Skip.into(), ..every(1) }).await?;
    rig.ticked("s", 1, taskyard_tests::SOON).await?;
    let rig = rig
        .down_while(async |_| {
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            Ok(())
        })
        .await?;
    let schedule = rig.ticked("s", 6, taskyard_tests::SOON).await?;
    let ticks = kinds(&schedule.ticks);
    assert!(ticks.iter().all(|(_, kind)| *kind == TickKind::OnTime), "{ticks:?}");
    assert!(ticks.windows(2).all(|pair| pair[1].0 - pair[0].0 == TimeDelta::seconds(1)), "{ticks:?}");
    assert_eq!(rig.faults().await?, 0);
    rig.close().await
}

#[tokio::test]
async fn the_history_is_bounded() -> Result<()> {
    let rig = Rig::open().await?;
    rig.create("s", every(3_600)).await?;
    let fill = "insert into tasks.schedule_ticks (schedule, tick_at, namespace, fired_at, kind)
        select schedule, now() - n * interval '1 second', namespace, now(), 4
        from tasks.schedule_states, generate_series(1, 1500) n";
    let gone = "insert into tasks.schedule_ticks (schedule, tick_at, namespace, fired_at, kind)
        values (1000001, now(), 1, now(), 4), (1000002, now(), 1, now(), 4)";
    sqlx::query(gone).execute(&rig.stack.pool).await?;
    sqlx::query(fill).execute(&rig.stack.pool).await?;
    // The leader keeps house half a minute after it began: of what is there, the newest, of what is gone, nothing.
    let kept = "select count(*) from tasks.schedule_ticks";
    taskyard_testkit::eventually(std::time::Duration::from_secs(60), "old ticks are forgotten", async || {
        (rig.stack.number(kept).await.ok()? == 1_000).then_some(())
    })
    .await?;
    let newest = "select count(*) from tasks.schedule_ticks where tick_at > fired_at - interval '1000.5 seconds'";
    assert_eq!(rig.stack.number(newest).await?, 1_000);
    rig.close().await
}
