//! `taskyard schedule`.

use anyhow::Result;
use serde_json::{Value, json};

use super::harness::Up;

#[tokio::test]
async fn json_is_the_same_as_in_rest() -> Result<()> {
    let up = Up::start().await?;
    let flags = [
        "--cron",
        "30 2 * * MON-FRI",
        "--time-zone",
        "Europe/Berlin",
        "--start",
        "2026-01-01T00:00:00Z",
        "--end",
        "2099-01-01T00:00:00Z",
        "--catch-up",
        "all",
        "--catch-up-max",
        "7",
        "--overlap",
        "skip",
        "--jitter",
        "90s",
        "--kind",
        "manual",
        "--queue",
        "people",
        "--title",
        "größer",
        "--payload",
        "{\"a\": 1.00}",
        "--label",
        "team=growth",
        "--priority",
        "7",
        "--timeout",
        "90s",
        "--attempts",
        "3",
    ];
    let created = up.call(&[&["schedule", "create", "report", "--json"], &flags[..]].concat())?.document()?;
    assert_eq!(created["next_times"].as_array().map(Vec::len), Some(5));
    up.call(&["schedule", "create", "every", "--every", "15m", "--kind", "manual", "--paused"])?.good()?;
    up.call(&["schedule", "create", "once", "--at", "2099-01-01T00:00:00Z", "--kind", "manual"])?.good()?;
    let task = up.call(&["schedule", "run", "report", "--json"])?.document()?;
    assert_eq!((&task["title"], &task["labels"]["taskyard.schedule"]), (&json!("größer"), &json!("report")));

    for name in ["report", "every", "once"] {
        let shown = up.call(&["schedule", "get", name, "--json"])?.document()?;
        assert_eq!(shown, up.rest(&format!("/v1/schedules/{name}"))?, "{name}");
    }
    let shown = up.rest("/v1/schedules/report")?;
    assert_eq!(shown["times"]["cron"], "30 2 * * MON-FRI");
    assert_eq!(
        (&shown["catch_up"], &shown["catch_up_max"], &shown["overlap"]),
        (&json!("all"), &json!(7), &json!("skip"))
    );
    assert_eq!((&shown["ticks"][0]["kind"], &shown["ticks"][0]["task_id"]), (&json!("by_hand"), &task["id"]));
    let listed = up.call(&["schedule", "list", "--json"])?.documents()?;
    assert_eq!(Value::from(listed), up.rest("/v1/schedules")?["schedules"]);
    let next = up.call(&["schedule", "next", "report", "--count", "3", "--json"])?.document()?;
    assert_eq!(next, up.rest("/v1/schedules/report/next?count=3")?);
    up.stop().await
}

#[tokio::test]
async fn a_schedule_is_steered_through_its_life() -> Result<()> {
    let up = Up::start().await?;
    let create = ["schedule", "create", "s", "--cron", "@daily", "--kind", "manual", "--label", "a=b"];
    up.call(&create)?.good()?;
    let again = up.call(&create)?;
    assert!(again.code == 0 && again.err.contains("was there already"), "{again:?}");
    let taken = up.call(&["schedule", "create", "s", "--every", "1h", "--kind", "manual"])?;
    assert!(taken.code == 1 && taken.err.contains("NAME_TAKEN"), "{taken:?}");

    // What is not given stays.
    let changes = ["--title", "new", "--time-zone", "America/New_York", "--label", "c=d", "--remove-label", "a"];
    let changed = up.call(&[&["schedule", "update", "s", "--json"], &changes[..]].concat())?.document()?;
    assert_eq!(
        (&changed["times"]["cron"], &changed["times"]["time_zone"]),
        (&json!("@daily"), &json!("America/New_York"))
    );
    assert_eq!((&changed["task"]["labels"], &changed["version"]), (&json!({"c": "d"}), &json!(2)));
    let changed = up.call(&["schedule", "update", "s", "--every", "15m", "--json"])?.document()?;
    assert_eq!((&changed["times"]["cron"], &changed["times"]["every_ms"]), (&Value::Null, &json!(900_000)));
    let stale = up.call(&["schedule", "update", "s", "--every", "1h", "--version", "1"])?;
    assert!(stale.code == 1 && stale.err.contains("VERSION_MISMATCH"), "{stale:?}");

    assert!(up.call(&["schedule", "pause", "s"])?.good()?.contains("s (paused)"));
    assert!(up.call(&["schedule", "next", "s"])?.good()?.is_empty());
    assert!(!up.call(&["schedule", "resume", "s"])?.good()?.contains("paused"));
    assert_eq!(up.call(&["schedule", "next", "s"])?.good()?.lines().count(), 5);
    let id = "019f0000-0000-7000-8000-000000000000";
    let far = up.call(&["schedule", "run", "s", "--task-id", id])?;
    assert!(far.code == 1 && far.err.contains("task_id"), "{far:?}");
    let shown = up.call(&["schedule", "get", "s"])?.good()?;
    assert!(shown.contains("times       every 15m") && shown.contains("title       new"), "{shown}");

    let deleted = up.call(&["schedule", "delete", "nobodys", "s"])?;
    assert!(deleted.code == 1 && deleted.err.contains("SCHEDULE_NOT_FOUND"), "{deleted:?}");
    assert!(deleted.out.contains("s  deleted"), "{deleted:?}");
    assert_eq!(up.call(&["schedule", "get", "s"])?.code, 1);
    up.stop().await
}

#[tokio::test]
async fn an_expression_can_be_tried() -> Result<()> {
    let up = Up::start().await?;
    let berlin =
        ["--cron", "30 2 * * *", "--time-zone", "Europe/Berlin", "--after", "2027-03-27T12:00:00Z", "--count", "2"];
    let next = up.call(&[&["schedule", "next"], &berlin[..]].concat())?.good()?;
    let lines: Vec<_> = next.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(lines, ["2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"]);
    let wrong = up.call(&["schedule", "next", "--cron", "30 24 * * *"])?;
    assert!(wrong.code == 1 && wrong.err.contains("hour `24`: `24` must be a number from 0 to 23"), "{wrong:?}");
    let nothing = up.call(&["schedule", "next"])?;
    assert!(nothing.code == 1 && nothing.err.contains("times.cron"), "{nothing:?}");
    let both = up.call(&["schedule", "next", "s", "--every", "1h"])?;
    assert_eq!(both.code, 2, "{both:?}");
    up.stop().await
}
