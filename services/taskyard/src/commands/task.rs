//! `taskyard task`.

mod cancel;
mod complete;
mod create;
mod delete;
mod each;
mod events;
mod filter;
mod get;
mod import;
mod list;
mod retry;
mod search;
mod sweep;
mod update;
mod wait;
mod watch;

use clap::Subcommand;

use crate::{exit::Outcome, server::ServerArgs};

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
    /// Create a task
    Create(Box<create::Args>),
    /// Show a task with payload and result
    Get(get::Args),
    /// List tasks, the newest first
    List(list::Args),
    /// Find tasks by the words of their titles, descriptions and labels, the best first
    Search(search::Args),
    /// Change title, description, labels, priority or time of a task
    Update(update::Args),
    /// Delete tasks that do not run
    Delete(delete::Args),
    /// Follow what happens to tasks, live
    Watch(watch::Args),
    /// Show what has happened to tasks, the oldest first
    Events(events::Args),
    /// Cancel waiting or running tasks
    Cancel(cancel::Args),
    /// Make dead or canceled tasks ready again, with all their attempts
    Retry(retry::Args),
    /// Complete tasks of kind `manual`
    Complete(complete::Args),
    /// Create tasks from JSON lines
    Import(import::Args),
}

/// Does it.
pub async fn run(args: Args) -> Outcome {
    let server = &args.server;
    match args.command {
        Command::Create(args) => create::run(server, *args).await,
        Command::Get(args) => get::run(server, args).await,
        Command::List(args) => list::run(server, args).await,
        Command::Search(args) => search::run(server, args).await,
        Command::Update(args) => update::run(server, args).await,
        Command::Delete(args) => delete::run(server, args).await,
        Command::Watch(args) => watch::run(server, args).await,
        Command::Events(args) => events::run(server, args).await,
        Command::Cancel(args) => cancel::run(server, args).await,
        Command::Retry(args) => retry::run(server, args).await,
        Command::Complete(args) => complete::run(server, args).await,
        Command::Import(args) => import::run(server, args).await,
    }
}
