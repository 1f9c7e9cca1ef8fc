//! `taskyard admin`: for those who run an installation. What an administrator may do who has signed in goes through the
//! server; the other commands talk to the database themselves.

mod audit;
mod create_key;
mod create_user;
mod namespaces;
mod new_epoch;
mod rebuild;
mod reindex;
mod users;

use clap::Subcommand;

use self::users::Deed;
use crate::exit::Outcome;

/// What to do.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List all users, by e-mail address
    ListUsers(users::ListArgs),
    /// Let a user in no more: their sign-ins and keys end
    DisableUser(users::Args),
    /// Let a user in again
    EnableUser(users::Args),
    /// Make a user an administrator of the installation
    MakeAdmin(users::Args),
    /// Make a user no administrator any more
    UnmakeAdmin(users::Args),
    /// List all namespaces, by name, with what they hold
    ListNamespaces(namespaces::ListArgs),
    /// Set what a namespace may have; what is not named stays
    LimitNamespace(namespaces::LimitArgs),
    /// Show what administrators looked at and did, newest first
    Audit(audit::Args),
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
        Command::ListUsers(args) => users::list(args).await,
        Command::DisableUser(args) => users::change(args, Deed::Disable).await,
        Command::EnableUser(args) => users::change(args, Deed::Enable).await,
        Command::MakeAdmin(args) => users::change(args, Deed::MakeAdmin).await,
        Command::UnmakeAdmin(args) => users::change(args, Deed::UnmakeAdmin).await,
        Command::ListNamespaces(args) => namespaces::list(args).await,
        Command::LimitNamespace(args) => namespaces::limit(args).await,
        Command::Audit(args) => audit::run(args).await,
        Command::CreateKey(args) => create_key::run(args).await,
        Command::CreateUser(args) => create_user::run(args).await,
        Command::NewEpoch(args) => new_epoch::run(args).await,
        Command::Rebuild(args) => rebuild::run(args).await,
        Command::Reindex(args) => reindex::run(args).await,
    }
}
