//! `taskyard task cancel`.

use super::each::each;
use crate::{exit::Outcome, server::ServerArgs};

/// Which tasks, and why.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The tasks' ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Why; kept as the task's error
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
}

/// Cancels them.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let client = server.connect().await?;
    each(server, &args.ids, async |id| client.cancel_task(id, &args.reason).await.map(Some)).await
}
