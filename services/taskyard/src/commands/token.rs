//! `taskyard token`.

use std::process::ExitCode;

use crate::{
    exit::{Outcome, Usage},
    output::Output,
    server::ServerPlace,
};

/// Of which server or profile.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    place: ServerPlace,
}

/// Prints what other commands would show.
pub async fn run(args: Args) -> Outcome {
    let Some(token) = args.place.token().await? else {
        return Err(Usage::error("there is nothing to show; `taskyard login` signs in, --token and --profile name it"));
    };
    let mut output = Output::new(false);
    output.line(&token)?;
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}
