//! The leader dies or stands still at a tick of a schedule: it makes one task all the same.

use std::time::Duration;

use anyhow::{Context, Result};
use taskyard_client::v1::{
    CatchUp, CreateScheduleRequest, ScheduleDefinition, ScheduleTick, ScheduleTimes, TaskTemplate, TickKind,
};
use taskyard_proto::convert::timestamp;
use taskyard_tasks::fault::FaultPoint;
use taskyard_testkit::eventually;
use taskyard_tests::seconds;

use crate::{SOON, fleet::Fleet};

const NAME: &str = "every-second";

/// A schedule that ticks every second and catches nothing up: what it loses is lost.
async fn schedule(fleet: &Fleet) -> Result<()> {
    let definition = ScheduleDefinition {
        times: Some(ScheduleTimes { every: seconds(1), ..ScheduleTimes::default() }),
        task: Some(TaskTemplate { kind: "manual".into(), ..TaskTemplate::default() }),
        catch_up: CatchUp::Skip.into(),
        ..ScheduleDefinition::default()
    };
    let request = CreateScheduleRequest { name: NAME.into(), definition: Some(definition), paused: false };
    fleet.client()?.create_schedule(request).await?;
    Ok(())
}

const TICKS: &str = "select count(*) from tasks.schedule_ticks";

async fn goes_on(fleet: &Fleet, ticks: i64) -> Result<()> {
    let goal = fleet.stack.number(TICKS).await? + ticks;
    eventually(SOON, format!("{ticks} more ticks"), async || {
        (fleet.stack.number(TICKS).await.ok()? >= goal).then_some(())
    })
    .await
}

/// Every second from the first to the last has its tick, each its one task, and none came before its time.
async fn assert_whole(fleet: &Fleet) -> Result<()> {
    let wrong = "select
        (select extract(epoch from max(tick_at) - min(tick_at))::bigint + 1 - count(*) from tasks.schedule_ticks)
        + (select count(*) from tasks.schedule_ticks where fired_at < tick_at or kind <> 1 or task_id is null)";
    assert_eq!(fleet.stack.number(wrong).await?, 0, "a tick is missing, or is not what it should be");
    let twice = "select count(*) - count(distinct labels ->> 'taskyard.tick') from tasks.documents";
    assert_eq!(fleet.stack.number(twice).await?, 0, "a tick has made two tasks");
    let tasks = "select (select count(*) from tasks.documents) - (select count(*) from tasks.schedule_ticks)";
    assert_eq!(fleet.stack.number(tasks).await?, 0, "a task without a tick, or a tick without one");
    assert_eq!(
        fleet.stack.number("select count(*) from tasks.active where state = 1").await?,
        fleet.stack.number("select count(*) from tasks.events where type = 1").await?
    );
    let shown = fleet.client()?.get_schedule(NAME).await?;
    let times: Vec<_> =
        shown.ticks.iter().map(|tick: &ScheduleTick| timestamp("t", tick.time.unwrap_or_default())).collect();
    assert!(times.windows(2).all(|pair| matches!(pair, [Ok(a), Ok(b)] if a > b)), "{times:?}");
    assert!(shown.ticks.iter().all(|tick| tick.kind() == TickKind::OnTime));
    Ok(())
}

#[tokio::test]
async fn a_leader_killed_at_a_tick_loses_none_and_makes_none_twice() -> Result<()> {
    let mut fleet = Fleet::start(2).await?;
    schedule(&fleet).await?;
    for point in
        [FaultPoint::TickPlanned, FaultPoint::TickCommitted, FaultPoint::TickPlanned, FaultPoint::TickCommitted]
    {
        goes_on(&fleet, 2).await?;
        fleet.order("abort", point.name())?;
        let (dead, _) = fleet.struck(SOON).await.with_context(|| point.name())?;
        goes_on(&fleet, 3).await.with_context(|| format!("after the death at {}", point.name()))?;
        fleet.start_pod(dead).await?;
    }
    fleet.client()?.pause_schedule(NAME).await?;
    assert_whole(&fleet).await?;
    fleet.close().await
}

/// It has planned a tick, and carries it out when it wakes: another leader has done so long ago.
#[tokio::test]
async fn a_thawed_leader_fires_nothing() -> Result<()> {
    let mut fleet = Fleet::start(2).await?;
    schedule(&fleet).await?;
    goes_on(&fleet, 2).await?;
    fleet.order("freeze", FaultPoint::TickPlanned.name())?;
    let (frozen, _) = fleet.struck(SOON).await?;
    let planned = fleet.stack.number(TICKS).await?;
    goes_on(&fleet, 3).await?;
    let term = fleet.term().await?;
    fleet.pod(frozen)?.process.thaw()?;
    fleet.pod(frozen)?.process.wait_for_output("end=Fenced", SOON).await?;
    goes_on(&fleet, 3).await?;
    assert_eq!(fleet.term().await?, term, "the new leader leads on");
    assert!(fleet.stack.number(TICKS).await? >= planned + 6);
    fleet.client()?.pause_schedule(NAME).await?;
    assert_whole(&fleet).await?;
    fleet.close().await
}

/// It has carried a tick out and told nobody.
#[tokio::test]
async fn a_leader_frozen_behind_a_tick_has_made_its_task() -> Result<()> {
    let mut fleet = Fleet::start(2).await?;
    schedule(&fleet).await?;
    goes_on(&fleet, 1).await?;
    fleet.order("freeze", FaultPoint::TickCommitted.name())?;
    let (frozen, _) = fleet.struck(SOON).await?;
    goes_on(&fleet, 2).await?;
    fleet.pod(frozen)?.process.thaw()?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    goes_on(&fleet, 2).await?;
    fleet.client()?.pause_schedule(NAME).await?;
    assert_whole(&fleet).await?;
    fleet.close().await
}
