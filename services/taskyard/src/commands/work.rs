//! `taskyard work`.

use taskyard_runtime::{config::LogArgs, shutdown, telemetry};
use taskyard_worker::command::{self, CommandConfig};

use crate::server::ServerPlace;

/// Which tasks, and the command that does them.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The command finds the payload on standard input and TASKYARD_TASK_ID, …_KIND, …_QUEUE, …_TITLE, \
    …_RUN and …_ATTEMPT in its environment. Lines like `progress 40 half way` on standard output tell how far it is; \
    the last JSON document there is the result. It fails with exit code 75 (to be tried again) or another one (for \
    good).\n\nExample: taskyard work --queue mail --kind send --concurrency 8 -- ./send.py"
)]
pub struct Args {
    #[command(flatten)]
    server: ServerPlace,
    #[command(flatten)]
    config: CommandConfig,
    #[command(flatten)]
    log: LogArgs,
}

/// Works until a signal.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let command = args.config.check()?;
    telemetry::init(&args.log)?;
    let stop = shutdown::on_signal()?;
    let pods = args.server.connect().await?.pods().clone();
    command::run(command, pods, stop).await
}
