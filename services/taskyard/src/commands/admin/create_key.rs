//! `taskyard admin create-key`.

use std::process::ExitCode;

use taskyard_core::identity::Scope;
use taskyard_runtime::config::{PostgresArgs, Problems};
use taskyard_tasks::setup;

use crate::{exit::Outcome, output::Output};

/// For which namespace, and in which database.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    postgres: PostgresArgs,
    /// What it is for
    name: String,
    /// The namespace that it is bound to
    #[arg(long, default_value = "default", value_name = "NAME")]
    namespace: String,
    /// A right: tasks:read, tasks:write, work or admin; repeat it for more; all if not given
    #[arg(long = "scope", value_parser = scope, value_name = "SCOPE")]
    scopes: Vec<Scope>,
}

/// Makes a key and prints it.
pub async fn run(args: Args) -> Outcome {
    let mut problems = Problems::default();
    let postgres = args.postgres.require(&mut problems);
    let postgres = problems.finish(postgres)?;
    let key = setup::create_key(postgres.url.expose(), &args.namespace, &args.name, &args.scopes).await?;
    let mut output = Output::new(false);
    output.line(&key)?;
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse("--scope", text).map_err(|error| error.message)
}
