//! A server that runs, under its guard (`guard.sh`), which stops it when we end.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::Instant;

use crate::account::Account;
use crate::process::{self, Signal};

/// How long a server may take to stop cleanly before its guard kills it.
const STOP_SECONDS: u32 = 15;

/// How long we wait for the guard to do so before we do it ourselves.
const STOP_WAIT: Duration = Duration::from_secs(STOP_SECONDS as u64 + 2);

/// How long the system may take to end a killed process.
const KILL_WAIT: Duration = Duration::from_secs(5);

const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What a guard is told to keep.
#[derive(Debug, Clone)]
pub(crate) struct Charge {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Beside the little that every server gets.
    pub(crate) environment: Vec<(String, OsString)>,
    /// What stops the server cleanly.
    pub(crate) stop: Stop,
    /// Whom the server runs as, when not as ourselves.
    pub(crate) account: Option<Account>,
}

/// A signal that stops a server cleanly.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    Interrupt,
    Terminate,
}

impl Stop {
    pub(crate) fn signal(self) -> Signal {
        match self {
            Self::Interrupt => Signal::INT,
            Self::Terminate => Signal::TERM,
        }
    }

    /// As `kill` wants it.
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
        }
    }
}

/// A server and its guard. Dropping it has the guard stop the server cleanly, without anybody waiting for that.
#[derive(Debug)]
pub(crate) struct Running {
    guard: Child,
    /// Nothing is ever written to it. Its end tells the guard that we are gone.
    life_line: Option<ChildStdin>,
    server: u32,
}

impl Running {
    /// Starts a server. Whether it came up is for the caller to see.
    pub(crate) async fn start(script: &Path, charge: &Charge, log: File, dir: &Path) -> Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.arg(script).args([charge.stop.name(), &STOP_SECONDS.to_string()]);
        command.arg(&charge.program).args(&charge.arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        // Nothing of our surroundings changes what the servers do.
        command.env_clear().env("PATH", search_path()).env("LC_ALL", "C").env("TZ", "UTC");
        command.envs(charge.environment.iter().map(|(name, value)| (name, value)));
        // A group of its own, so that Ctrl-C in the terminal reaches us, and the servers end when we are done.
        command.current_dir(dir).process_group(0);
        if let Some(account) = charge.account {
            command.uid(account.uid).gid(account.gid);
        }
        let started = tokio::task::spawn_blocking(move || {
            let mut guard = command.spawn().context("cannot run /bin/sh")?;
            let life_line = guard.stdin.take();
            let mut line = String::new();
            if let Some(output) = guard.stdout.take() {
                BufReader::new(output).read_line(&mut line).context("cannot read from the guard")?;
            }
            anyhow::Ok((guard, life_line, line))
        });
        let (mut guard, life_line, line) = started.await.context("starting the guard was interrupted")??;
        let Ok(server) = line.trim().parse() else {
            let status = guard.wait().context("cannot wait for the guard")?;
            bail!("the guard told no process id and ended with {status}");
        };
        Ok(Self { guard, life_line, server })
    }

    /// The server's own process id.
    pub(crate) fn pid(&self) -> u32 {
        self.server
    }

    pub(crate) fn is_alive(&self) -> bool {
        process::is_alive(self.server)
    }

    /// How the server ended; none while it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.guard.try_wait().ok().flatten()
    }

    /// Stops the server cleanly, and waits until it is gone.
    pub(crate) async fn stop(mut self) -> Result<()> {
        drop(self.life_line.take());
        if self.wait_until_gone(STOP_WAIT).await {
            return Ok(());
        }
        tracing::warn!(pid = self.server, "a private server did not stop in time and is killed");
        self.kill().await
    }

    /// Kills the server and all processes it has, as a machine that loses power does.
    pub(crate) async fn kill(mut self) -> Result<()> {
        let family = kill_family(self.server);
        let gone = self.wait_until_gone(KILL_WAIT).await && process::wait_until_gone(&family, KILL_WAIT).await;
        if !gone {
            bail!("process {} does not end although it was killed", self.server);
        }
        Ok(())
    }

    async fn wait_until_gone(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while self.ended().is_none() || self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        true
    }
}

/// Kills a server and its children; tells whom.
pub(crate) fn kill_family(server: u32) -> Vec<u32> {
    // Stopped first, so that it has no further children while they are listed.
    let _ = process::send(server, Signal::STOP);
    let mut family = vec![server];
    family.extend(process::children(server));
    for pid in &family {
        // One that has just ended by itself is as good as killed.
        let _ = process::send(*pid, Signal::KILL);
    }
    family
}

/// Stops a server that an earlier process left behind. It has no guard any more, or one that is at it already.
pub(crate) async fn stop_leftover(server: u32, signal: Signal) -> Result<()> {
    for pid in process::children(server).into_iter().chain([server]) {
        let _ = process::send(pid, Signal::CONT);
    }
    let _ = process::send(server, signal);
    if process::wait_until_gone(&[server], STOP_WAIT).await {
        return Ok(());
    }
    let family = kill_family(server);
    if !process::wait_until_gone(&family, KILL_WAIT).await {
        bail!("process {server}, left by an earlier run, does not end although it was killed");
    }
    Ok(())
}

/// Ours, and where the guard's `sleep` and `ps` are in case ours is empty.
fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/bin:/bin");
    path
}
