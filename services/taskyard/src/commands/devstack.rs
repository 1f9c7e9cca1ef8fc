//! `taskyard devstack`: the private servers alone, for tests and for those who work on a service.

use std::{
    path::PathBuf,
    process::{ExitCode, ExitStatus},
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use taskyard_devstack::{Devstack, Options};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

use crate::{
    exit::Outcome,
    output::{Output, note},
};

/// What to run with the servers.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: taskyard devstack -- cargo nextest run --workspace")]
pub struct Args {
    /// The folder of the servers' data
    #[arg(long, default_value = ".taskyard", value_name = "DIR")]
    dir: PathBuf,
    /// Where the servers' programs are installed, so that several folders share them [default: servers in --dir]
    #[arg(long, env = "TASKYARD_PROGRAMS_DIR", value_name = "DIR")]
    programs_dir: Option<PathBuf>,
    /// A command; it finds the servers in DATABASE_URL, REDIS_URL and NATS_URL. Without one, these are printed
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the servers until the command ends, or for ever; ends with the command's code.
pub async fn run(args: Args) -> Outcome {
    let Args { dir, programs_dir, command } = args;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let options = Options { install_dir: programs_dir, ..Options::new(dir) };
    let stack = tokio::select! {
        stack = Devstack::start(options, |step| note(&format!("{step}…"))) => stack?,
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
        _ = terminate.recv() => return Ok(ExitCode::from(143)),
    };
    let urls =
        [("DATABASE_URL", stack.postgres_url()), ("REDIS_URL", stack.redis_url()), ("NATS_URL", stack.nats_url())];
    let mut child = match command.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).envs(urls).kill_on_drop(true);
            Some(command.spawn().with_context(|| format!("cannot run {program}"))?)
        }
        None => {
            let mut output = Output::new(false);
            for (name, url) in urls {
                output.line(&format!("{name}={url}"))?;
            }
            output.flush()?;
            None
        }
    };
    let code = loop {
        tokio::select! {
            ended = end_of(child.as_mut()) => break code_of(ended?),
            end = stack.unexpected_end() => return Err(end),
            // In a terminal Ctrl-C reaches the command too: it decides when we end.
            _ = interrupt.recv() => if child.is_none() { break ExitCode::from(130) },
            _ = terminate.recv() => match &child {
                Some(child) => pass_on(child, Signal::TERM),
                None => break ExitCode::from(143),
            },
        }
    };
    stack.stop().await?;
    Ok(code)
}

async fn end_of(child: Option<&mut Child>) -> std::io::Result<ExitStatus> {
    match child {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

fn pass_on(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended just now.
        let _ = kill_process(pid, signal);
    }
}

/// As a shell tells it: 128 and the signal's number for a command that a signal has ended.
fn code_of(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt;
    let number = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(number.and_then(|number| u8::try_from(number).ok()).unwrap_or(1))
}
