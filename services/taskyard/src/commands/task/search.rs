//! `taskyard task search`.

use std::process::ExitCode;

use chrono::Utc;
use taskyard_client::v1;
use taskyard_core::{TaskState, limits::SEARCH_PAGE_SIZE_MAX};

use super::filter::FilterArgs;
use crate::{exit::Outcome, json, output::note, server::ServerArgs, text};

/// What to look for, and how many.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Words that all have to be there; in single quotes '"a phrase"' and 'word -other' to exclude one; `or` between two
    #[arg(required = true, value_name = "WORDS")]
    words: Vec<String>,
    /// In this state; repeat it for more
    #[arg(long = "state", value_name = "STATE")]
    states: Vec<TaskState>,
    #[command(flatten)]
    filter: FilterArgs,
    /// At most so many
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: u64,
}

/// Finds them, page by page.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let client = server.connect().await?;
    let mut output = server.output();
    let mut left = args.limit;
    let mut request = v1::SearchTasksRequest {
        query: args.words.join(" "),
        filter: Some(args.filter.into_filter(&args.states)),
        ..Default::default()
    };
    while left > 0 {
        request.page_size = u32::try_from(left).unwrap_or(SEARCH_PAGE_SIZE_MAX).min(SEARCH_PAGE_SIZE_MAX);
        let page = client.search_tasks(request.clone()).await?;
        left = left.saturating_sub(page.hits.len() as u64);
        if !page.corrected_query.is_empty() && request.page_token.is_empty() {
            note(&format!("(nothing has these words; this is what has: {})", text::clean(&page.corrected_query)));
        }
        for hit in page.hits {
            if output.is_json() {
                output.json(&json::Hit::from(hit))?;
            } else {
                output.line(&text::hit(&hit, Utc::now()))?;
            }
        }
        output.flush()?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if !output.is_json() && args.limit > 0 {
        note("(there may be more; --limit shows more of them)");
    }
    Ok(ExitCode::SUCCESS)
}
