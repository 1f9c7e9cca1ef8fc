//! Full-text search.

use http::StatusCode;
use serde_json::json;
use taskyard_core::limits::SEARCH_PAGE_SIZE_MAX;

use super::page_token;
use crate::{
    openapi::Operation,
    shape::{Filter, Hits, described},
};

/// Hits on a page if nothing is said.
const PAGE_SIZE: u32 = 20;

pub(in crate::rest) fn search() -> Operation {
    let query = json!({ "type": "string", "example": "\"web server\" deploy -draft" });
    Operation::new("searchTasks", "Tasks", "Search tasks by their words")
        .says("In title, description and labels: words in any form, `\"phrases\"`, `-exclusions`, `or`.")
        .query("q", query, "What to look for.")
        .queries(Filter::parameters())
        .query("page_size", described::page_size(PAGE_SIZE, SEARCH_PAGE_SIZE_MAX), "Hits on the page, at most.")
        .queries([page_token()])
        .answers::<Hits>(StatusCode::OK, "One page, the best first.")
}
