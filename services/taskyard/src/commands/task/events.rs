//! `taskyard task events`.

use std::process::ExitCode;

use taskyard_client::v1;
use taskyard_core::limits::EVENTS_PAGE_SIZE_MAX;

use crate::{exit::Outcome, json, output::note, server::ServerArgs, text};

/// Whose events.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The task's id; all tasks if not given
    #[arg(default_value = "", hide_default_value = true)]
    id: String,
    /// Only what is later than this position
    #[arg(long, default_value = "", hide_default_value = true, value_name = "POSITION")]
    from: String,
    /// At most so many; all if not given
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
}

/// Shows them, page by page.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let client = server.connect().await?;
    let mut output = server.output();
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut position = args.from;
    while left > 0 {
        let page_size = u32::try_from(left).unwrap_or(EVENTS_PAGE_SIZE_MAX).min(EVENTS_PAGE_SIZE_MAX);
        let request = v1::ListEventsRequest { position, task_id: args.id.clone(), page_size };
        let page = client.list_events(request).await?;
        left = left.saturating_sub(page.events.len() as u64);
        for event in page.events {
            if output.is_json() {
                output.json(&json::Event::from(event))?;
            } else {
                output.line(&text::event(&event))?;
            }
        }
        output.flush()?;
        position = page.position;
        if !page.more {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if !output.is_json() {
        note(&format!("(there may be more: --from {position})"));
    }
    Ok(ExitCode::SUCCESS)
}
