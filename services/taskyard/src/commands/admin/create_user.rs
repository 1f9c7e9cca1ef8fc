//! `taskyard admin create-user`.

use std::{path::PathBuf, process::ExitCode};

use taskyard_runtime::config::{PostgresArgs, Problems};
use taskyard_tasks::setup::{self, NewAccount};

use crate::{commands::login::first_line, exit::Outcome, output::note};

/// Who, and in which database.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    postgres: PostgresArgs,
    /// The e-mail address
    #[arg(long, value_name = "ADDRESS")]
    email: String,
    /// A file that holds the password, - for standard input
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// Make an administrator of the installation; the first one also owns the namespace `default`
    #[arg(long)]
    admin: bool,
}

/// Makes a user. One that is there stays as it is.
pub async fn run(args: Args) -> Outcome {
    let mut problems = Problems::default();
    let postgres = args.postgres.require(&mut problems);
    let postgres = problems.finish(postgres)?;
    let password = first_line(&args.password_file)?;
    let account = NewAccount { email: args.email.clone(), password, is_admin: args.admin };
    if setup::create_user(postgres.url.expose(), account).await? {
        note(&format!("{} can sign in", args.email));
    } else {
        note(&format!("there is a user {} already; nothing was changed", args.email));
    }
    Ok(ExitCode::SUCCESS)
}
