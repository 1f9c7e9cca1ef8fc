//! `taskyard admin audit`.

use std::process::ExitCode;

use taskyard_client::v1;
use taskyard_core::limits::PAGE_SIZE_MAX;

use crate::{exit::Outcome, json, output::note, server::ServerArgs, text::AuditTable};

/// Which server, and how much of it.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// At most so many entries
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    limit: u64,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Shows what administrators did, page by page, newest first.
pub async fn run(args: Args) -> Outcome {
    let client = args.server.connect().await?;
    let mut output = args.server.output();
    let mut table = AuditTable::new();
    let mut left = if args.all { u64::MAX } else { args.limit };
    let mut request = v1::ListAuditEntriesRequest::default();
    while left > 0 {
        request.page_size = u32::try_from(left).unwrap_or(u32::MAX).min(PAGE_SIZE_MAX);
        let page = client.list_audit_entries(request.clone()).await?;
        left = left.saturating_sub(page.entries.len() as u64);
        output.all(page.entries, json::AuditEntry::from, |entries| table.lines(entries))?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if !output.is_json() && args.limit > 0 {
        note("(there is more; --all shows all of it)");
    }
    Ok(ExitCode::SUCCESS)
}
