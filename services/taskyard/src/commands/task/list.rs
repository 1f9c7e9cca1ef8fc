//! `taskyard task list`.

use std::process::ExitCode;

use chrono::Utc;
use taskyard_client::v1;
use taskyard_core::{TaskState, limits::PAGE_SIZE_MAX};

use super::filter::{FilterArgs, Order};
use crate::{exit::Outcome, json, output::note, server::ServerArgs, text::TaskTable};

/// Which tasks, and how many.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// In this state; repeat it for more
    #[arg(long = "state", value_name = "STATE")]
    states: Vec<TaskState>,
    #[command(flatten)]
    filter: FilterArgs,
    /// The order
    #[arg(long, default_value = "created_desc", value_name = "ORDER")]
    order: Order,
    /// At most so many
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    limit: u64,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Lists them, page by page.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let client = server.connect().await?;
    let mut output = server.output();
    let mut table = TaskTable::new(args.order.is_by_end());
    let mut left = if args.all { u64::MAX } else { args.limit };
    let mut request = v1::ListTasksRequest {
        filter: Some(args.filter.into_filter(&args.states)),
        order: args.order.number(),
        ..Default::default()
    };
    while left > 0 {
        request.page_size = u32::try_from(left).unwrap_or(PAGE_SIZE_MAX).min(PAGE_SIZE_MAX);
        let page = client.list_tasks(request.clone()).await?;
        left = left.saturating_sub(page.tasks.len() as u64);
        if output.is_json() {
            for task in page.tasks {
                output.json(&json::Task::from(task))?;
            }
        } else if let Some(lines) = table.lines(page.tasks, Utc::now()) {
            output.line(&lines)?;
        }
        // Whoever reads no more is noticed here, before the next page is asked for.
        output.flush()?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if !output.is_json() && args.limit > 0 {
        note("(there may be more; --all lists all of them)");
    }
    Ok(ExitCode::SUCCESS)
}
