//! What the end of a command means.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use taskyard_client::worker::{Outcome, StopReason};
use taskyard_core::limits;

use super::stdout;

/// `EX_TEMPFAIL` of sysexits.h.
const TRY_AGAIN: i32 = 75;

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub status: ExitStatus,
    /// Why it was told to end, if it was.
    pub stopped: Option<StopReason>,
    pub output: stdout::Result,
    /// The last lines of standard error.
    pub errors: String,
}

impl From<Ending> for Outcome {
    fn from(ending: Ending) -> Self {
        let Ending { status, stopped, output, errors } = ending;
        if status.success() {
            // It is done, even if it was told to end.
            return match output {
                stdout::Result::Json(json) => Self::Completed(json),
                stdout::Result::TooLarge => Self::fatal(format!(
                    "the command succeeded, but its result is larger than {} bytes",
                    limits::RESULT_BYTES_MAX
                )),
            };
        }
        match (stopped, status.code()) {
            // The words of a command that took too long say where it was.
            (Some(StopReason::TimedOut), _) if !errors.is_empty() => Self::failed(errors),
            (Some(_), _) => Self::Stopped,
            (None, Some(TRY_AGAIN)) => {
                Self::failed(with_errors("the command asks to be tried again (exit code 75)", &errors))
            }
            (None, Some(code)) => {
                Self::fatal(with_errors(&format!("the command failed with exit code {code}"), &errors))
            }
            (None, None) => {
                let signal = status.signal().map_or_else(|| "a signal".to_owned(), name_of);
                Self::failed(with_errors(&format!("the command was killed by {signal}"), &errors))
            }
        }
    }
}

fn with_errors(what: &str, errors: &str) -> String {
    if errors.is_empty() { format!("{what}, without a word on standard error") } else { format!("{what}: {errors}") }
}

fn name_of(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        other => return format!("signal {other}"),
    };
    // What a container's memory limit does is worth a word.
    if signal == 9 { format!("{name}, perhaps for lack of memory") } else { name.to_owned() }
}
