//! Across namespaces, for administrators of the installation.

use http::StatusCode;
use serde_json::json;
use taskyard_core::{ErrorCode, limits::PAGE_SIZE_MAX};

use super::page_token;
use crate::{
    openapi::Operation,
    shape::{AuditEntries, NamespaceOverviews, UserOverviews, described},
};

const TAG: &str = "Administration";
/// Entries on a page if nothing is said.
const PAGE_SIZE: u32 = 100;

fn page(operation: Operation) -> Operation {
    operation
        .query("page_size", described::page_size(PAGE_SIZE, PAGE_SIZE_MAX), "Entries on the page, at most.")
        .queries([page_token()])
}

pub(in crate::rest) fn namespaces() -> Operation {
    page(Operation::new("listAllNamespaces", TAG, "List all namespaces"))
        .says("By name, with what they hold and what they may hold.")
        .query("name", json!({ "type": "string" }), "Only the one with this name; all, if it is empty.")
        .answers::<NamespaceOverviews>(StatusCode::OK, "One page.")
}

pub(in crate::rest) fn set_quota() -> Operation {
    Operation::new("setNamespaceQuota", TAG, "Set what a namespace may have")
        .says("Holds within seconds. What is there already stays.")
        .example(json!({ "active_tasks_max": 100_000, "queues_max": 50 }))
        .answers_nothing(StatusCode::NO_CONTENT, "It is set.")
}

pub(in crate::rest) fn users() -> Operation {
    page(Operation::new("listUsers", TAG, "List all users"))
        .says("By e-mail address.")
        .query("email", json!({ "type": "string" }), "Only the one with this address; all, if it is empty.")
        .answers::<UserOverviews>(StatusCode::OK, "One page.")
}

pub(in crate::rest) fn disable() -> Operation {
    Operation::new("disableUser", TAG, "Let a user in no more")
        .calls("SetUserDisabled")
        .says("Whatever they have open ends within 5 seconds.")
        .answers_nothing(StatusCode::NO_CONTENT, "It is set.")
}

pub(in crate::rest) fn enable() -> Operation {
    Operation::new("enableUser", TAG, "Let a user in again")
        .calls("SetUserDisabled")
        .answers_nothing(StatusCode::NO_CONTENT, "It is set.")
}

pub(in crate::rest) fn make_admin() -> Operation {
    Operation::new("makeAdmin", TAG, "Make a user an administrator of the installation")
        .calls("SetUserAdmin")
        .answers_nothing(StatusCode::NO_CONTENT, "It is set.")
}

pub(in crate::rest) fn unmake_admin() -> Operation {
    Operation::new("unmakeAdmin", TAG, "Make a user no administrator of the installation any more")
        .calls("SetUserAdmin")
        .says("Nobody does it to themselves, so that one stays. Holds within 5 seconds.")
        .answers_nothing(StatusCode::NO_CONTENT, "It is set.")
}

pub(in crate::rest) fn audit() -> Operation {
    page(Operation::new("listAuditEntries", TAG, "Read what administrators did"))
        .says("Newest first. Whatever an administrator looked at or set across namespaces is in it; that it was read is the newest.")
        .answers::<AuditEntries>(StatusCode::OK, "One page.")
        .fails(ErrorCode::Forbidden)
}
