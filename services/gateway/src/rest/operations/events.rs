//! What happened.

use http::StatusCode;
use taskyard_core::limits::{EVENTS_PAGE_SIZE_DEFAULT, EVENTS_PAGE_SIZE_MAX};

use crate::{
    openapi::Operation,
    shape::{Events, described},
};

const TAG: &str = "Events";

pub(in crate::rest) fn all() -> Operation {
    page(Operation::new("listEvents", TAG, "What happened to all tasks"))
}

pub(in crate::rest) fn of_task() -> Operation {
    page(Operation::new("listEventsOfTask", TAG, "What happened to a task").calls("ListEvents"))
}

fn page(operation: Operation) -> Operation {
    operation
        .says("Read on from `position`: every later event comes once, in order.")
        .query("position", described::position(), "After this position; from the oldest event that is kept if empty.")
        .query(
            "page_size",
            described::page_size(EVENTS_PAGE_SIZE_DEFAULT, EVENTS_PAGE_SIZE_MAX),
            "Events on the page, at most.",
        )
        .answers::<Events>(StatusCode::OK, "One page.")
}
