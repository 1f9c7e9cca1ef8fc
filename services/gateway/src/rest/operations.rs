//! What each route does, for its description; what it reads is told by its extractors.

pub(super) mod administration;
pub(super) mod auth;
pub(super) mod events;
pub(super) mod keys;
pub(super) mod many;
pub(super) mod namespaces;
pub(super) mod queues;
pub(super) mod schedules;
pub(super) mod search;
pub(super) mod tasks;

use crate::openapi::Parameter;

/// The token of the page before.
fn page_token() -> Parameter {
    let schema = serde_json::json!({ "type": "string" });
    Parameter::query("page_token", schema, "`next_page_token` of the page before, with the same filter and order.")
}
