//! Queues.

use http::StatusCode;
use serde_json::json;
use taskyard_core::limits::PAGE_SIZE_MAX;

use super::page_token;
use crate::{
    openapi::Operation,
    shape::{Queue, Queues, described},
};

const TAG: &str = "Queues";
/// Queues on a page if nothing is said.
const PAGE_SIZE: u32 = 100;

pub(in crate::rest) fn list() -> Operation {
    Operation::new("listQueues", TAG, "List queues")
        .says("With what waits and runs in them, by name.")
        .query("page_size", described::page_size(PAGE_SIZE, PAGE_SIZE_MAX), "Queues on the page, at most.")
        .queries([page_token()])
        .answers::<Queues>(StatusCode::OK, "One page.")
}

pub(in crate::rest) fn get() -> Operation {
    Operation::new("getQueue", TAG, "Read a queue").calls("ListQueues").answers::<Queue>(StatusCode::OK, "The queue.")
}

pub(in crate::rest) fn pause() -> Operation {
    Operation::new("pauseQueue", TAG, "Start nothing more in a queue")
        .says("What runs goes on.")
        .answers::<Queue>(StatusCode::OK, "The queue after the change.")
}

pub(in crate::rest) fn resume() -> Operation {
    Operation::new("resumeQueue", TAG, "End a pause").answers::<Queue>(StatusCode::OK, "The queue after the change.")
}

pub(in crate::rest) fn set_limits() -> Operation {
    Operation::new("setQueueLimits", TAG, "Set how many tasks of a queue may run at once")
        .example(json!({ "concurrency_max": 10 }))
        .answers::<Queue>(StatusCode::OK, "The queue after the change.")
}
