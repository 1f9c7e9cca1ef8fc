//! `taskyard schedule next`.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use taskyard_client::v1;
use taskyard_proto::convert::timestamp_to_proto;

use super::{definition::TimesArgs, show_times};
use crate::{
    exit::{Outcome, Usage},
    read::time,
    server::ServerArgs,
};

/// A schedule, or times to be tried.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: taskyard schedule next --cron '30 2 * * *' --time-zone Europe/Berlin")]
pub struct Args {
    /// The schedule; without, the flags say what to try
    name: Option<String>,
    #[command(flatten)]
    times: TimesArgs,
    /// So many, at most 100; 5 if not given
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "COUNT")]
    count: u32,
    /// The ticks after this; now if not given
    #[arg(long, value_parser = time, value_name = "TIME", conflicts_with = "name")]
    after: Option<DateTime<Utc>>,
}

/// Shows them.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let (times, zone) = match args.name {
        Some(_) if !args.times.is_empty() => {
            return Err(Usage::error("give the name of a schedule, or flags to try without saving them"));
        }
        Some(name) => {
            let client = server.connect().await?;
            let schedule = client.get_schedule(&name).await?;
            let times = client.list_next_times(name, args.count).await?;
            (times, schedule.definition.and_then(|definition| definition.times).unwrap_or_default().time_zone)
        }
        None => {
            let times = args.times.change(v1::ScheduleTimes::default());
            let zone = times.time_zone.clone();
            let after_time = args.after.map(timestamp_to_proto);
            let request = v1::PreviewScheduleRequest { times: Some(times), count: args.count, after_time };
            (server.connect().await?.preview_schedule(request).await?, zone)
        }
    };
    show_times(&mut server.output(), times, &zone)?;
    Ok(ExitCode::SUCCESS)
}
