//! `taskyard task cancel`.

use std::process::ExitCode;

use serde::Serialize;
use taskyard_core::TaskState;

use super::{each::each, filter::FilterArgs, sweep};
use crate::{exit::Outcome, server::ServerArgs};

/// Which tasks, and why.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The tasks' ids
    #[arg(
        required_unless_present = "all_active",
        conflicts_with_all = ["all_active", "states", "FilterArgs"],
        value_name = "ID"
    )]
    ids: Vec<String>,
    /// All waiting and running tasks that match; something must be named that they match
    #[arg(long)]
    all_active: bool,
    /// With --all-active: in this state; repeat it for more
    #[arg(long = "state", value_parser = active, value_name = "STATE")]
    states: Vec<TaskState>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Why; kept as the task's error
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
}

fn active(text: &str) -> Result<TaskState, String> {
    let state: TaskState = text.parse().map_err(|_| ACTIVE.to_owned())?;
    if state.is_finished() { Err(ACTIVE.to_owned()) } else { Ok(state) }
}

const ACTIVE: &str = "it must be open, scheduled, ready or running";

#[derive(Serialize)]
struct Canceled {
    canceled: u64,
}

/// Cancels them.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let client = server.connect().await?;
    if !args.all_active {
        return each(server, &args.ids, async |id| client.cancel_task(id, &args.reason).await.map(Some)).await;
    }
    let mut cancel = client.cancel_tasks(args.filter.into_filter(&args.states), args.reason);
    let canceled = sweep::follow("canceled", async || Ok(cancel.next().await?.map(|told| told.canceled))).await?;
    sweep::show(server, &Canceled { canceled }, &format!("{canceled} tasks are canceled"))?;
    Ok(ExitCode::SUCCESS)
}
