//! `taskyard schedule update`.

use std::process::ExitCode;

use taskyard_client::{ErrorCode, v1};

use super::{definition::DefinitionArgs, show};
use crate::{exit::Outcome, server::ServerArgs};

/// How often a change is made anew because somebody else changed the schedule meanwhile.
const CHANGES_MAX: usize = 5;

/// Which schedule, and its changes. What is not given stays.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The schedule
    name: String,
    #[command(flatten)]
    definition: DefinitionArgs,
    /// Refuse unless the schedule has this version
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,
}

/// Changes it: it is read, changed, and written if nobody else was quicker.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let client = server.connect().await?;
    let mut changes_left = CHANGES_MAX;
    let changed = loop {
        let schedule = client.get_schedule(&args.name).await?;
        let definition = args.definition.clone().change(schedule.definition.unwrap_or_default())?;
        let version = args.version.unwrap_or(schedule.version);
        let request = v1::UpdateScheduleRequest { name: args.name.clone(), definition: Some(definition), version };
        changes_left -= 1;
        match client.update_schedule(request).await {
            Err(error) if error.code == ErrorCode::VersionMismatch && args.version.is_none() && changes_left > 0 => {}
            done => break done?,
        }
    };
    show(&mut server.output(), changed)?;
    Ok(ExitCode::SUCCESS)
}
