//! `taskyard task retry`.

use std::process::ExitCode;

use indicatif::ProgressBar;
use serde::Serialize;

use super::{each::each, filter::FilterArgs};
use crate::{exit::Outcome, output::is_watched, progress, server::ServerArgs};

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
    let bar = if is_watched() { progress::spinner() } else { ProgressBar::hidden() };
    let mut retry = client.retry_tasks(args.filter.into_filter(&[]));
    let mut retried = 0;
    while let Some(told) = retry.next().await? {
        retried = told.retried;
        bar.set_message(format!("{retried} retried"));
    }
    bar.finish_and_clear();
    let mut output = server.output();
    if output.is_json() {
        output.json(&Retried { retried })?;
    } else {
        output.line(&format!("{retried} dead tasks are ready again"))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}
