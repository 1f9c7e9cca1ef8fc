//! Keys of programs and workers.

use http::StatusCode;
use serde_json::json;
use taskyard_core::{ErrorCode, limits::PAGE_SIZE_MAX};

use super::page_token;
use crate::{
    openapi::Operation,
    shape::{Key, KeySecret, Keys, described},
};

const TAG: &str = "Keys";
/// Keys on a page if nothing is said.
const PAGE_SIZE: u32 = 100;

pub(in crate::rest) fn list() -> Operation {
    Operation::new("listKeys", TAG, "List the namespace's keys")
        .says("Newest first, without their secrets.")
        .query("page_size", described::page_size(PAGE_SIZE, PAGE_SIZE_MAX), "Keys on the page, at most.")
        .queries([page_token()])
        .answers::<Keys>(StatusCode::OK, "One page.")
        .fails(ErrorCode::Forbidden)
}

pub(in crate::rest) fn create() -> Operation {
    Operation::new("createKey", TAG, "Make a key")
        .says("It can do no more than its maker. The secret is shown here and never again.")
        .example(json!({ "name": "ci", "scopes": ["tasks:read", "tasks:write"], "queues": ["mail"] }))
        .answers::<KeySecret>(StatusCode::CREATED, "The key with its secret.")
}

pub(in crate::rest) fn revoke() -> Operation {
    Operation::new("revokeKey", TAG, "End a key")
        .says("Whatever shows it is refused within 5 seconds, open streams included.")
        .answers::<Key>(StatusCode::OK, "The key after its end.")
}
