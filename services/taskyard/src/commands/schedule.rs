//! `taskyard schedule`.

mod create;
mod definition;
mod delete;
mod get;
mod list;
mod next;
mod pause;
mod run;
mod update;

use clap::Subcommand;
use taskyard_client::v1;

use crate::{
    exit::Outcome,
    json,
    output::Output,
    server::ServerArgs,
    text::{self, ScheduleTable},
};

/// Which server, and what to do.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a schedule: a task at each of its times
    Create(Box<create::Args>),
    /// Show a schedule with its newest ticks
    Get(get::Args),
    /// List schedules by name
    List,
    /// Change a schedule; what is not given stays
    Update(Box<update::Args>),
    /// Delete schedules; their tasks stay
    Delete(delete::Args),
    /// End a schedule's ticks until it is resumed
    Pause(pause::Args),
    /// End a pause; what would have ticked meanwhile is not caught up
    Resume(pause::Args),
    /// Make a schedule's task now
    Run(run::Args),
    /// Show when a schedule ticks next, or when one that is not saved would
    Next(next::Args),
}

/// Does it.
pub async fn run(args: Args) -> Outcome {
    let server = &args.server;
    match args.command {
        Command::Create(args) => create::run(server, *args).await,
        Command::Get(args) => get::run(server, args).await,
        Command::List => list::run(server).await,
        Command::Update(args) => update::run(server, *args).await,
        Command::Delete(args) => delete::run(server, args).await,
        Command::Pause(args) => pause::run(server, args, true).await,
        Command::Resume(args) => pause::run(server, args, false).await,
        Command::Run(args) => run::run(server, args).await,
        Command::Next(args) => next::run(server, args).await,
    }
}

/// A schedule after a change, in one line.
fn show(output: &mut Output, schedule: v1::Schedule) -> anyhow::Result<()> {
    if output.is_json() {
        output.json(&json::Schedule::from(schedule))?;
    } else if let Some(lines) = ScheduleTable::new().lines(vec![schedule], chrono::Utc::now()) {
        output.line(&lines)?;
    }
    output.flush()
}

/// Times, each in a line.
fn show_times(output: &mut Output, times: Vec<prost_types::Timestamp>, zone: &str) -> anyhow::Result<()> {
    if output.is_json() {
        output.json(&json::NextTimes::from(times))?;
    } else {
        for time in times {
            output.line(&text::tick_time(time, zone, chrono::Utc::now()))?;
        }
    }
    output.flush()
}
