//! The program `taskyard-devstack` as another process.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::folder::install_dir;

/// The program on a folder, with none of our environment but the search path.
pub(crate) fn devstack(dir: &Path) -> Command {
    devstack_installed_in(&install_dir(), dir)
}

/// The same, with the servers' programs elsewhere.
pub(crate) fn devstack_installed_in(install_dir: &Path, dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskyard-devstack"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.arg("--dir").arg(dir).arg("--install-dir").arg(install_dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Starts the program and waits until its servers answer.
pub(crate) async fn start_devstack(dir: &Path) -> Result<Child> {
    let mut child = devstack(dir).spawn()?;
    let output = child.stdout.take().context("no output")?;
    let mut lines = BufReader::new(output).lines();
    for name in ["DATABASE_URL=", "REDIS_URL=", "NATS_URL="] {
        let line = lines.next_line().await?.context("it ended before its servers were up")?;
        ensure!(line.starts_with(name), "{line}");
    }
    Ok(child)
}
