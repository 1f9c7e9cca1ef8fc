//! Schedules go by the database's clock, and by the clocks on the walls of their time zones: PostgreSQL's is turned to
//! moments at which those are put forward and back.

use std::time::Duration;

use anyhow::{Result, ensure};
use chrono::{DateTime, Datelike, Days, TimeDelta, Utc};
use taskyard_proto::v1::{CatchUp, ScheduleDefinition, TickKind};
use taskyard_tests::{Clock, Stack, time};

use crate::rig::{Rig, cron, every, every_since, kinds};

/// After a jump schedules wait for a session timeout, which is 5 s here; and a busy machine needs a while.
const TICKS_WITHIN: Duration = Duration::from_secs(40);
/// So far before a tick the clock is turned to: enough to wait after the jump, and to create a schedule.
const BEFORE: TimeDelta = TimeDelta::seconds(8);

/// A clock that is put forward or back, and a daily schedule whose time does not exist then, or comes twice.
struct Change {
    name: &'static str,
    zone: &'static str,
    expression: &'static str,
    /// The tick on that day, and the two after it.
    ticks: [&'static str; 3],
    /// When the clock shows the same time again.
    again: Option<&'static str>,
}

const CHANGES: [Change; 6] = [
    Change {
        name: "new-york-forward",
        zone: "America/New_York",
        expression: "30 2 * * *",
        ticks: ["2027-03-14T07:00:00Z", "2027-03-15T06:30:00Z", "2027-03-16T06:30:00Z"],
        again: None,
    },
    Change {
        name: "berlin-forward",
        zone: "Europe/Berlin",
        expression: "30 2 * * *",
        ticks: ["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z", "2027-03-30T00:30:00Z"],
        again: None,
    },
    Change {
        name: "lord-howe-back",
        zone: "Australia/Lord_Howe",
        expression: "45 1 * * *",
        ticks: ["2027-04-03T14:45:00Z", "2027-04-04T15:15:00Z", "2027-04-05T15:15:00Z"],
        again: Some("2027-04-03T15:15:00Z"),
    },
    Change {
        name: "lord-howe-forward",
        zone: "Australia/Lord_Howe",
        expression: "15 2 * * *",
        ticks: ["2027-10-02T15:30:00Z", "2027-10-03T15:15:00Z", "2027-10-04T15:15:00Z"],
        again: None,
    },
    Change {
        name: "berlin-back",
        zone: "Europe/Berlin",
        expression: "30 2 * * *",
        ticks: ["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z", "2027-11-02T01:30:00Z"],
        again: Some("2027-10-31T01:30:00Z"),
    },
    Change {
        name: "new-york-back",
        zone: "America/New_York",
        expression: "30 1 * * *",
        ticks: ["2027-11-07T05:30:00Z", "2027-11-08T06:30:00Z", "2027-11-09T06:30:00Z"],
        again: Some("2027-11-07T06:30:00Z"),
    },
];

/// From now on PostgreSQL's clock shows this.
fn turn_to(clock: &Clock, to: DateTime<Utc>) -> Result<()> {
    clock.turn((to - Utc::now()).num_seconds())
}

/// Events have their partitions by time.
async fn make_partition(stack: &Stack, at: DateTime<Utc>) -> Result<()> {
    let day = at.date_naive();
    let monday = day - Days::new(day.weekday().num_days_from_monday().into());
    let next = monday + Days::new(7);
    let name = format!("tasks.events_{}", monday.format("%Y_%m_%d"));
    let sql = format!(
        "create table if not exists {name} partition of tasks.events for values from ('{monday}') to ('{next}')"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&stack.pool).await?;
    Ok(())
}

async fn there(stack: &Stack) -> Result<DateTime<Utc>> {
    Ok(sqlx::query_scalar("select clock_timestamp()").fetch_one(&stack.pool).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daily_schedule_ticks_once_on_the_days_on_which_clocks_change() -> Result<()> {
    let Some((clock, _servers, stack)) = Clock::private().await? else {
        eprintln!("NOT TESTED HERE: a server's clock can be turned on Linux only");
        return Ok(());
    };
    let rig = Rig::on(stack).await?;
    for change in CHANGES {
        let ticks: Vec<DateTime<Utc>> = change.ticks.iter().map(|tick| tick.parse()).collect::<Result<_, _>>()?;
        make_partition(&rig.stack, ticks[0] - TimeDelta::hours(1)).await?;
        make_partition(&rig.stack, ticks[0] + TimeDelta::hours(2)).await?;
        turn_to(&clock, ticks[0] - BEFORE)?;
        let created = rig.create(change.name, cron(change.expression, change.zone)).await?;
        let next: Vec<_> = created.next_times.iter().take(3).map(|next| time(Some(*next))).collect();
        ensure!(next == ticks, "{}: {next:?}", change.name);
        let schedule = rig.ticked(change.name, 1, TICKS_WITHIN).await?;
        if let Some(again) = change.again {
            turn_to(&clock, again.parse::<DateTime<Utc>>()? - TimeDelta::seconds(1))?;
            // Long enough that it would have ticked: schedules wait after a jump.
            tokio::time::sleep(Duration::from_secs(13)).await;
            ensure!(there(&rig.stack).await? > again.parse::<DateTime<Utc>>()? + TimeDelta::seconds(8));
        }
        let schedule_after = rig.get(change.name).await?;
        ensure!(schedule_after.ticks == schedule.ticks, "{}: {schedule_after:?}", change.name);
        ensure!(kinds(&schedule.ticks) == [(ticks[0], TickKind::OnTime)], "{}: {schedule:?}", change.name);
        let next = time(schedule_after.next_times.first().copied());
        ensure!(next == ticks[1], "{}: {next}", change.name);
        let label = ticks[0].to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        ensure!(rig.made(change.name).await? == [Some(label)], "{}", change.name);
        rig.delete(change.name).await?;
        println!("{}: {}", change.name, ticks[0]);
    }
    ensure!(rig.faults().await? == 0);
    rig.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_of_the_databases_clock_that_is_taken_back_makes_no_task() -> Result<()> {
    let Some((clock, _servers, stack)) = Clock::private().await? else {
        eprintln!("NOT TESTED HERE: a server's clock can be turned on Linux only");
        return Ok(());
    };
    let rig = Rig::on(stack).await?;
    let times = every_since(600, TimeDelta::minutes(5));
    let all = ScheduleDefinition { catch_up: CatchUp::All.into(), catch_up_max: 100, ..times };
    let created = rig.create("s", all).await?;
    rig.create("second", every(1)).await?;
    // The leader has seen the clock as it was.
    rig.ticked("second", 2, TICKS_WITHIN).await?;
    let ticks = rig.get("second").await?.ticks.len();
    clock.turn(7_200)?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    clock.turn(0)?;
    // Once it has been steady for a while, all goes on as if nothing had been.
    rig.ticked("second", (ticks + 3).min(10), TICKS_WITHIN).await?;
    let schedule = rig.get("s").await?;
    ensure!(schedule.ticks.is_empty() && schedule.next_times == created.next_times, "{schedule:?}");
    let ahead = "select count(*) from tasks.schedule_ticks where tick_at > now()";
    ensure!(rig.stack.number(ahead).await? == 0, "a tick of a time that has not come");

    // A jump that stays: what it passed over was missed.
    clock.turn(7_200)?;
    let schedule = rig.ticked("s", 10, TICKS_WITHIN).await?;
    ensure!(schedule.ticks.iter().all(|tick| tick.kind() == TickKind::CaughtUp), "{schedule:?}");
    ensure!(rig.made("s").await?.len() == 12, "two hours, every ten minutes");
    ensure!(rig.faults().await? == 0);
    rig.close().await
}
