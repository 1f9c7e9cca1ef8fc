//! `taskyard migrate`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use taskyard_runtime::{
    config::{LogArgs, PostgresArgs, Problems, Secret, read_secret},
    telemetry,
};
use taskyard_tasks::setup::{self, FirstAdmin};

use crate::{exit::Outcome, output::note};

/// Which database.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    postgres: PostgresArgs,
    /// How many seconds to wait for a server that is not there yet
    #[arg(long, env = "TASKYARD_MIGRATE_WAIT_S", default_value_t = 0, value_name = "SECONDS")]
    wait_s: u64,
    /// Make this person the first administrator, if there is no user yet
    #[arg(long, env = "TASKYARD_ADMIN_EMAIL", value_name = "ADDRESS")]
    admin_email: Option<String>,
    /// The first administrator's password
    #[arg(long, env = "TASKYARD_ADMIN_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    admin_password: Option<Secret>,
    /// A file that holds it
    #[arg(long, env = "TASKYARD_ADMIN_PASSWORD_FILE", value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
    /// A key with all rights in the namespace `default`, made if it is not known: `tyk_` and at least 32 characters
    #[arg(long, env = "TASKYARD_ADMIN_KEY", hide_env_values = true, value_name = "KEY")]
    admin_key: Option<Secret>,
    /// A file that holds it
    #[arg(long, env = "TASKYARD_ADMIN_KEY_FILE", value_name = "FILE")]
    admin_key_file: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
}

/// Migrates. It can be repeated, and others may do the same at the same time.
pub async fn run(args: Args) -> Outcome {
    let mut problems = Problems::default();
    let postgres = args.postgres.require(&mut problems);
    let admin = args.first_admin(&mut problems);
    let postgres = problems.finish(postgres)?;
    telemetry::init(&args.log)?;
    let wait = Duration::from_secs(args.wait_s);
    setup::migrate(postgres.url.expose(), wait).await.context("the schema could not be brought up to date")?;
    note("the schema is up to date");
    setup::first_admin(postgres.url.expose(), admin).await.context("the first administrator could not be made")?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn first_admin(&self, problems: &mut Problems) -> FirstAdmin {
        let (password, file) = (self.admin_password.as_ref(), self.admin_password_file.as_ref());
        let password = read_secret("TASKYARD_ADMIN_PASSWORD", password, file, problems);
        let email = self.admin_email.clone().filter(|email| !email.is_empty());
        if email.is_some() != password.is_some() {
            problems.add("TASKYARD_ADMIN_EMAIL and TASKYARD_ADMIN_PASSWORD go together; one is missing");
        }
        let key = read_secret("TASKYARD_ADMIN_KEY", self.admin_key.as_ref(), self.admin_key_file.as_ref(), problems);
        FirstAdmin {
            account: email.zip(password).map(|(email, password)| (email, password.expose().to_owned())),
            key: key.map(|key| key.expose().to_owned()),
        }
    }
}
