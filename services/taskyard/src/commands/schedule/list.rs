//! `taskyard schedule list`.

use std::process::ExitCode;

use chrono::Utc;
use taskyard_client::v1;
use taskyard_core::limits::PAGE_SIZE_MAX;

use crate::{exit::Outcome, json, server::ServerArgs, text::ScheduleTable};

/// Lists all of them.
pub async fn run(server: &ServerArgs) -> Outcome {
    let client = server.connect().await?;
    let mut output = server.output();
    let mut table = ScheduleTable::new();
    let mut request = v1::ListSchedulesRequest { page_size: PAGE_SIZE_MAX, ..Default::default() };
    loop {
        let page = client.list_schedules(request.clone()).await?;
        if output.is_json() {
            for schedule in page.schedules {
                output.json(&json::Schedule::from(schedule))?;
            }
        } else if let Some(lines) = table.lines(page.schedules, Utc::now()) {
            output.line(&lines)?;
        }
        output.flush()?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}
