//! The log: one line a happening, on standard error.

use anyhow::Context;
use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt};

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// How the log is written
    #[arg(long, env = "TASKYARD_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// What is logged: a level, or a list such as info,taskyard_tasks=debug
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
}

/// Begins to log. To be called once, by the binary: the log is the one thing that a process has only one of.
///
/// # Errors
/// If the filter cannot be read, or the process logs already.
pub fn init(args: &LogArgs) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&args.log).with_context(|| format!("RUST_LOG is `{}`", args.log))?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).finish().try_init(),
    }
    .context("cannot begin to log")
}
