//! `taskyard completions`.

use std::process::ExitCode;

use clap_complete::Shell;

use crate::{cli, exit::Outcome, output::Output};

/// Which shell.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The shell; for bash: source <(taskyard completions bash)
    shell: Shell,
}

/// Prints the shell's code.
pub fn run(args: Args) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "taskyard", &mut text);
    let mut output = Output::new(false);
    output.line(String::from_utf8_lossy(&text).trim_end())?;
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}
