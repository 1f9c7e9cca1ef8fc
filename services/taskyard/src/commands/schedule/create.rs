//! `taskyard schedule create`.

use std::process::ExitCode;

use taskyard_client::v1;

use super::{definition::DefinitionArgs, show};
use crate::{exit::Outcome, output::note, server::ServerArgs};

/// The new schedule.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: taskyard schedule create report --cron '0 9 * * MON-FRI' --time-zone Europe/Berlin --kind http --payload '{\"url\": \"https://example.com\"}'"
)]
pub struct Args {
    /// Its name
    name: String,
    #[command(flatten)]
    definition: DefinitionArgs,
    /// It does not tick before it is resumed
    #[arg(long)]
    paused: bool,
}

/// Creates it.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let definition = Some(args.definition.change(v1::ScheduleDefinition::default())?);
    let request = v1::CreateScheduleRequest { name: args.name, definition, paused: args.paused };
    let response = server.connect().await?.create_schedule(request).await?;
    if !response.created {
        note("the schedule was there already");
    }
    show(&mut server.output(), response.schedule.unwrap_or_default())?;
    Ok(ExitCode::SUCCESS)
}
