//! Many tasks at once.

use http::StatusCode;
use serde_json::json;

use crate::{
    openapi::Operation,
    rest::{batch::Answers, sweeps},
};

const TAG: &str = "Many tasks";

pub(in crate::rest) fn create() -> Operation {
    Operation::new("createTasks", TAG, "Create up to 1,000 tasks")
        .says("Each has an answer of its own, in order, whatever becomes of the others.")
        .example(json!({ "tasks": [{ "kind": "http" }, { "kind": "http", "title": "another" }] }))
        .answers::<Answers>(StatusCode::OK, "An answer for each.")
}

pub(in crate::rest) fn retry() -> Operation {
    Operation::new("retryTasks", TAG, "Retry all dead tasks that match")
        .says("In chunks, as far as the time goes. Without a filter, all dead tasks.")
        .example(json!({ "filter": { "queue": "mail", "finished_after": "2026-01-31T00:00:00Z" } }))
        .answers::<sweeps::Retried>(StatusCode::OK, "How many, and whether that was all.")
}

pub(in crate::rest) fn cancel() -> Operation {
    Operation::new("cancelTasks", TAG, "Cancel all waiting and running tasks that match")
        .says("In chunks, as far as the time goes. The filter must name something.")
        .example(json!({ "filter": { "queue": "mail", "state": ["scheduled", "ready"] }, "reason": "not needed" }))
        .answers::<sweeps::Canceled>(StatusCode::OK, "How many, and whether that was all.")
}

pub(in crate::rest) fn complete() -> Operation {
    Operation::new("completeTasks", TAG, "Complete all manual tasks that match")
        .says("In chunks, as far as the time goes, all with the same result. The filter must name something.")
        .example(json!({ "filter": { "queue": "people" }, "result": { "ok": true } }))
        .answers::<sweeps::Completed>(StatusCode::OK, "How many, and whether that was all.")
}
