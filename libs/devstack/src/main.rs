//! Runs a command with private servers: `taskyard-devstack -- cargo test`. The command finds them in `DATABASE_URL`,
//! `REDIS_URL` and `NATS_URL`. Without a command it prints these and keeps the servers until it is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use taskyard_devstack::{Devstack, Options};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// Runs a command with private PostgreSQL, Valkey and NATS servers.
#[derive(Debug, Parser)]
#[command(name = "taskyard-devstack", version)]
struct Arguments {
    /// The folder of the servers' data.
    #[arg(long, default_value = ".taskyard")]
    dir: PathBuf,
    /// Remove the folder first, with all that an earlier run left in it. Not while another one uses it.
    #[arg(long)]
    fresh: bool,
    /// Where the servers are installed; by default in the folder.
    #[arg(long)]
    install_dir: Option<PathBuf>,
    /// A PostgreSQL to use instead of a private one.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    postgres_url: Option<String>,
    /// A Redis or Valkey to use instead of a private one.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis_url: Option<String>,
    /// A NATS server to use instead of a private one.
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    nats_url: Option<String>,
    /// The command and its arguments.
    #[arg(last = true)]
    command: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode> {
    let Arguments { dir, fresh, install_dir, postgres_url, redis_url, nats_url, command } = Arguments::parse();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let [postgres_url, redis_url, nats_url] =
        [postgres_url, redis_url, nats_url].map(|url| url.filter(|url| !url.is_empty()));
    let options = Options { dir, install_dir, postgres_url, redis_url, nats_url, ..Options::new(PathBuf::new()) };
    if fresh {
        taskyard_devstack::remove_abandoned(&options.dir).await?;
    }
    let stack = tokio::select! {
        stack = Devstack::start(options, |step| eprintln!("{step}")) => stack?,
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
        _ = terminate.recv() => return Ok(ExitCode::from(143)),
    };

    let code = tokio::select! {
        code = use_servers(&stack, &command) => code?,
        end = stack.unexpected_end() => return Err(end),
        _ = terminate.recv() => ExitCode::from(143),
        // With a command, Ctrl-C in the terminal reaches that one too, and we end when it does.
        _ = interrupt.recv(), if command.is_empty() => ExitCode::from(130),
    };
    stack.stop().await?;
    Ok(code)
}

async fn use_servers(stack: &Devstack, command: &[String]) -> Result<ExitCode> {
    let urls =
        [("DATABASE_URL", stack.postgres_url()), ("REDIS_URL", stack.redis_url()), ("NATS_URL", stack.nats_url())];
    let Some((program, arguments)) = command.split_first() else {
        for (name, url) in urls {
            println!("{name}={url}");
        }
        return std::future::pending().await;
    };
    let mut child = Command::new(program);
    let status = child.args(arguments).envs(urls).kill_on_drop(true).status().await;
    let code = status.with_context(|| format!("cannot run {program}"))?.code();
    // Ended by a signal: as a shell tells it, if not by which.
    Ok(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(128)))
}
