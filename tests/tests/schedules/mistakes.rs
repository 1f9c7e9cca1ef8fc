//! Every mistake is named: the field, what is wrong, and what would be right.

use anyhow::Result;
use chrono::{TimeDelta, Utc};
use taskyard_core::ErrorCode;
use taskyard_proto::v1::{CatchUp, ScheduleDefinition, ScheduleTimes, TaskTemplate};
use taskyard_tests::{seconds, timestamp};

use crate::rig::{Rig, at_times, cron, every, once};

#[tokio::test]
async fn each_mistake_names_its_field() -> Result<()> {
    let rig = Rig::open().await?;
    let with_task = |task: TaskTemplate| ScheduleDefinition { task: Some(task), ..every(60) };
    let manual = || TaskTemplate { kind: "manual".into(), ..TaskTemplate::default() };
    let ahead = |seconds| timestamp(Utc::now() + TimeDelta::seconds(seconds));
    let mistakes: Vec<(ScheduleDefinition, &str, &str)> = vec![
        (cron("61 * * * *", ""), "times.cron", "minute `61`"),
        (cron("99 * * * * *", ""), "times.cron", "second `99`"),
        (cron("0 25 * * *", ""), "times.cron", "hour `25`"),
        (cron("0 0 32 * *", ""), "times.cron", "day of month `32`"),
        (cron("0 0 * 13 *", ""), "times.cron", "month `13`"),
        (cron("0 0 * * 9", ""), "times.cron", "day of week `9`"),
        (cron("0 0 * * MONDAY", ""), "times.cron", "day of week `MONDAY`"),
        (cron("*/0 * * * *", ""), "times.cron", "the step `0`"),
        (cron("0 20-4 * * *", ""), "times.cron", "goes backwards"),
        (cron("0 1,,2 * * *", ""), "times.cron", "nothing between two commas"),
        (cron("0 0 31 2 *", ""), "times.cron", "never comes"),
        (cron("* * * *", ""), "times.cron", "has 4 fields"),
        (cron("@sometimes", ""), "times.cron", "@daily"),
        (cron(&"*".repeat(201), ""), "times.cron", "at most 200"),
        (cron("@daily", "Europe/Berln"), "times.time_zone", "IANA"),
        (at_times(ScheduleTimes::default()), "times.cron", "is missing"),
        (
            at_times(ScheduleTimes { every: seconds(60), once_time: ahead(60), ..Default::default() }),
            "times.cron",
            "together",
        ),
        (every(0), "times.every", "1000 ms"),
        (every(400 * 86_400), "times.every", "366 days"),
        (
            at_times(ScheduleTimes { cron: "@daily".into(), anchor_time: ahead(1), ..Default::default() }),
            "times.anchor_time",
            "every",
        ),
        (once(Utc::now() - TimeDelta::seconds(60)), "times.once_time", "has passed"),
        (
            at_times(ScheduleTimes {
                every: seconds(60),
                start_time: ahead(60),
                end_time: ahead(1),
                ..Default::default()
            }),
            "times.end_time",
            "before start_time",
        ),
        (
            ScheduleDefinition { catch_up_max: 101, catch_up: CatchUp::All.into(), ..every(60) },
            "catch_up_max",
            "1 to 100",
        ),
        (ScheduleDefinition { catch_up_max: 5, ..every(60) }, "catch_up_max", "for all only"),
        (ScheduleDefinition { catch_up: 17, ..every(60) }, "catch_up", "skip, once or all"),
        (ScheduleDefinition { overlap: 17, ..every(60) }, "overlap", "allow or skip"),
        (ScheduleDefinition { jitter: seconds(3_601), ..every(60) }, "jitter", "3600000 ms"),
        (with_task(TaskTemplate::default()), "task.kind", "is missing"),
        (with_task(TaskTemplate { priority: Some(10), ..manual() }), "task.priority", "0 to 9"),
        (with_task(TaskTemplate { payload: "{".into(), ..manual() }), "task.payload", "JSON"),
        (
            with_task(TaskTemplate { labels: [("taskyard.tick".to_owned(), "x".to_owned())].into(), ..manual() }),
            "task.labels",
            "ours",
        ),
        (with_task(TaskTemplate { timeout: seconds(0), ..manual() }), "task.timeout", "1000"),
    ];
    for (definition, field, message) in mistakes {
        let error = rig.create("s", definition.clone()).await.expect_err("it is refused");
        assert_eq!(error.code, ErrorCode::InvalidInput, "{definition:?}: {error}");
        let named: Vec<_> = error.violations.iter().map(|wrong| wrong.field.as_str()).collect();
        assert_eq!(named, [field], "{definition:?}: {error}");
        assert!(error.violations[0].message.contains(message), "{error}");
    }
    for name in ["", "a b", "-a", &"x".repeat(65)] {
        let error = rig.create(name, every(60)).await.expect_err("it is refused");
        assert_eq!(error.violations.first().map(|wrong| wrong.field.as_str()), Some("name"), "{name}");
    }
    assert!(rig.list(0, "").await?.schedules.is_empty(), "nothing was saved");
    rig.close().await
}
