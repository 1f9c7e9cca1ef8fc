//! Single tasks, and the list of them.

use http::StatusCode;
use serde_json::json;
use taskyard_core::{
    ErrorCode,
    limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX},
};

use super::page_token;
use crate::{
    openapi::Operation,
    shape::{Filter, Order, Task, Tasks, described},
};

const TAG: &str = "Tasks";

pub(in crate::rest) fn list() -> Operation {
    Operation::new("listTasks", TAG, "List tasks")
        .says("Payloads and results are not among them.")
        .queries(Filter::parameters())
        .query("order", json!({ "type": "string", "enum": Order::NAMES, "default": Order::NAMES[0] }), "The order.")
        .query("page_size", described::page_size(PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX), "Tasks on the page, at most.")
        .queries([page_token()])
        .answers::<Tasks>(StatusCode::OK, "One page.")
}

pub(in crate::rest) fn create() -> Operation {
    Operation::new("createTask", TAG, "Create a task")
        .says("Answered once it is committed. To repeat it safely, send an `Idempotency-Key` or choose the `id`.")
        .example(json!({
            "queue": "mail", "kind": "http", "title": "Welcome mail",
            "payload": { "url": "https://example.com/hook" },
            "labels": { "team": "growth" }, "priority": 7, "delay_ms": 60_000,
            "timeout_ms": 30_000, "retry": { "attempts_max": 5, "backoff_ms": 500, "backoff_max_ms": 60_000 },
        }))
        .answers::<Task>(StatusCode::CREATED, "The new task.")
        .answers::<Task>(StatusCode::OK, "The id or key was known with the same content: the task that is there.")
        .with_header("ETag")
        .with_header("Location")
        .fails(ErrorCode::IdTaken)
}

pub(in crate::rest) fn get() -> Operation {
    Operation::new("getTask", TAG, "Read a task")
        .says("With payload, and result once there is one.")
        .answers::<Task>(StatusCode::OK, "The task.")
        .answers_nothing(StatusCode::NOT_MODIFIED, "The caller has it already.")
        .with_header("ETag")
}

pub(in crate::rest) fn update() -> Operation {
    Operation::new("updateTask", TAG, "Change a task")
        .says("Title, description and labels at any time; priority until it is finished; the time while it waits.")
        .example(json!({ "title": "Welcome!", "labels": { "team": null, "tier": "gold" }, "due_at": null }))
        .answers::<Task>(StatusCode::OK, "The task after the change.")
        .with_header("ETag")
        .fails(ErrorCode::WrongState)
        .fails(ErrorCode::VersionMismatch)
}

pub(in crate::rest) fn delete() -> Operation {
    Operation::new("deleteTask", TAG, "Delete a task that does not run")
        .says("Its id stays taken until retention has passed.")
        .answers_nothing(StatusCode::NO_CONTENT, "It is deleted.")
        .fails(ErrorCode::WrongState)
}

pub(in crate::rest) fn complete() -> Operation {
    Operation::new("completeTask", TAG, "Complete a manual task")
        .example(json!({ "result": { "ok": true } }))
        .answers::<Task>(StatusCode::OK, "The task after the change.")
        .with_header("ETag")
        .fails(ErrorCode::WrongState)
}

pub(in crate::rest) fn cancel() -> Operation {
    Operation::new("cancelTask", TAG, "Cancel a waiting or running task")
        .says("The worker of a running one is told to stop.")
        .example(json!({ "reason": "not needed" }))
        .answers::<Task>(StatusCode::OK, "The task after the change.")
        .with_header("ETag")
        .fails(ErrorCode::WrongState)
}

pub(in crate::rest) fn retry() -> Operation {
    Operation::new("retryTask", TAG, "Make a dead or canceled task ready again")
        .says("With all its attempts.")
        .answers::<Task>(StatusCode::OK, "The task after the change.")
        .with_header("ETag")
        .fails(ErrorCode::WrongState)
}
