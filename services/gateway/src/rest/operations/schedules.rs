//! Schedules.

use http::StatusCode;
use serde_json::json;
use taskyard_core::{ErrorCode, limits::PAGE_SIZE_MAX};

use super::page_token;
use crate::{
    openapi::Operation,
    shape::{NextTimes, Schedule, Schedules, Triggered, described},
};

const TAG: &str = "Schedules";
/// Schedules on a page if nothing is said.
const PAGE_SIZE: u32 = 100;

pub(in crate::rest) fn list() -> Operation {
    Operation::new("listSchedules", TAG, "List schedules")
        .says("By name.")
        .query("page_size", described::page_size(PAGE_SIZE, PAGE_SIZE_MAX), "Schedules on the page, at most.")
        .queries([page_token()])
        .answers::<Schedules>(StatusCode::OK, "One page.")
}

pub(in crate::rest) fn create() -> Operation {
    Operation::new("createSchedule", TAG, "Create a schedule")
        .says("The same again is answered with the one that is there.")
        .example(json!({
            "name": "nightly",
            "times": { "cron": "0 3 * * *", "time_zone": "Europe/Berlin" },
            "task": { "queue": "reports", "kind": "http", "payload": { "url": "https://example.com/report" } },
            "catch_up": "once", "overlap": "skip",
        }))
        .answers::<Schedule>(StatusCode::CREATED, "The new schedule.")
        .answers::<Schedule>(StatusCode::OK, "It was there already, with the same content.")
        .with_header("ETag")
        .with_header("Location")
        .fails(ErrorCode::NameTaken)
}

pub(in crate::rest) fn get() -> Operation {
    shown(Operation::new("getSchedule", TAG, "Read a schedule").says("With its next times and newest ticks."))
}

pub(in crate::rest) fn update() -> Operation {
    let update = Operation::new("updateSchedule", TAG, "Replace what a schedule shall be");
    shown(update.says("What is left out gets its default.").example(json!({
        "times": { "every_ms": 900_000 },
        "task": { "kind": "noop" },
    })))
}

pub(in crate::rest) fn delete() -> Operation {
    Operation::new("deleteSchedule", TAG, "Delete a schedule")
        .says("Its tasks stay.")
        .answers_nothing(StatusCode::NO_CONTENT, "It is deleted.")
}

pub(in crate::rest) fn pause() -> Operation {
    shown(Operation::new("pauseSchedule", TAG, "End a schedule's ticks until it is resumed"))
}

pub(in crate::rest) fn resume() -> Operation {
    shown(Operation::new("resumeSchedule", TAG, "End a pause").says("What was missed meanwhile is not caught up."))
}

pub(in crate::rest) fn run() -> Operation {
    Operation::new("runSchedule", TAG, "Make a schedule's task now")
        .calls("TriggerSchedule")
        .says("To repeat it safely, choose the `task_id`.")
        .example(json!({ "task_id": "0190b5a0-0000-7000-8000-000000000000" }))
        .answers::<Triggered>(StatusCode::CREATED, "The new task.")
        .answers::<Triggered>(StatusCode::OK, "The id was known: the task that is there.")
        .fails(ErrorCode::IdTaken)
}

pub(in crate::rest) fn next() -> Operation {
    Operation::new("listNextTimes", TAG, "Read when a schedule ticks next")
        .query("count", count(), "How many times.")
        .answers::<NextTimes>(StatusCode::OK, "Its next times; fewer if it ends before.")
}

pub(in crate::rest) fn preview() -> Operation {
    Operation::new("previewSchedule", TAG, "Try times without a schedule")
        .example(json!({ "times": { "cron": "0 3 * * *", "time_zone": "Europe/Berlin" }, "count": 5 }))
        .answers::<NextTimes>(StatusCode::OK, "When it would tick.")
}

fn shown(operation: Operation) -> Operation {
    operation.answers::<Schedule>(StatusCode::OK, "The schedule as it is now.").with_header("ETag")
}

fn count() -> serde_json::Value {
    json!({ "type": "integer", "minimum": 0, "maximum": taskyard_core::limits::NEXT_TIMES_MAX, "default": 5 })
}
