//! `taskyard task retry`.

use std::process::ExitCode;

use serde::Serialize;

use super::{each::each, filter::FilterArgs, sweep};
use crate::{exit::Outcome, server::ServerArgs};

/// Which tasks.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The tasks' ids
    #[arg(required_unless_present = "all_dead", conflicts_with_all = ["all_dead", "FilterArgs"], value_name = "ID")]
    ids: Vec<String>,
    /// All dead tasks that match
    #[arg(long)]
    all_dead: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Serialize)]
struct Retried {
    retried: u64,
}

/// Retries them.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let client = server.connect().await?;
    if !args.all_dead {
        return each(server, &args.ids, async |id| client.retry_task(id).await.map(Some)).await;
    }
    let mut retry = client.retry_tasks(args.filter.into_filter(&[]));
    let retried = sweep::follow("retried", async || Ok(retry.next().await?.map(|told| told.retried))).await?;
    sweep::show(server, &Retried { retried }, &format!("{retried} dead tasks are ready again"))?;
    Ok(ExitCode::SUCCESS)
}
