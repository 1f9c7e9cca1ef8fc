//! `taskyard admin`: for those who run an installation. Each command talks to the database itself.

mod create_key;
mod create_user;
mod new_epoch;
mod rebuild;
mod reindex;

use clap::Subcommand;

use crate::exit::Outcome;

/// What to do.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key for a namespace, without signing in
    CreateKey(create_key::Args),
    /// Make a user: the first administrator of an installation, or anybody where registration is closed
    CreateUser(create_user::Args),
    /// Begin a new epoch of the event order, after a restore from a backup; readers of events start anew
    NewEpoch(new_epoch::Args),
    /// Replay all events beside the running system and compare what they give with the tasks as they stand
    Rebuild(rebuild::Args),
    /// Make the search index anew from all tasks, beside the running system
    Reindex(reindex::Args),
}

/// Does it.
pub async fn run(args: Args) -> Outcome {
    match args.command {
        Command::CreateKey(args) => create_key::run(args).await,
        Command::CreateUser(args) => create_user::run(args).await,
        Command::NewEpoch(args) => new_epoch::run(args).await,
        Command::Rebuild(args) => rebuild::run(args).await,
        Command::Reindex(args) => reindex::run(args).await,
    }
}
