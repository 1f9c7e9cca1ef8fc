//! One private server: started, stopped, and for tests killed, paused and emptied.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep, timeout};

use crate::guard::{self, Charge, Running};
use crate::home::Home;
use crate::log::{Log, Mark};
use crate::place::create_private;
use crate::process::{self, Signal};
use crate::secrets::write_private;

pub(crate) mod nats;
pub(crate) mod postgres;
pub(crate) mod valkey;

/// How long a server may take to answer; PostgreSQL replays what was not yet written when it was killed.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long one question whether it is ready may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

const LOOK_EVERY: Duration = Duration::from_millis(4);

/// What one kind of server needs: how it is run, where its data are, how it says that it is ready.
#[derive(Debug)]
pub(crate) struct Plan {
    /// For people.
    pub(crate) name: &'static str,
    /// For files.
    pub(crate) file_name: &'static str,
    pub(crate) charge: Charge,
    pub(crate) data: PathBuf,
    /// What the command line of this server, and of no other, contains.
    pub(crate) mark: String,
    pub(crate) port: u16,
    pub(crate) url: String,
    pub(crate) probe: Probe,
}

/// How to ask a server whether it is ready.
#[derive(Debug)]
pub(crate) enum Probe {
    Postgres,
    Valkey { password: String },
    Nats,
}

/// A private server of a [`Devstack`](crate::Devstack). Its port, its password and so its url never change.
///
/// The methods are meant for one caller at a time.
#[derive(Debug)]
pub struct Server {
    plan: Plan,
    log: Log,
    pid_file: PathBuf,
    guard: PathBuf,
    dir: PathBuf,
    running: Mutex<Option<Running>>,
}

impl Server {
    pub(crate) fn new(plan: Plan, home: &Home) -> Self {
        Self {
            log: Log::new(home.log(plan.file_name)),
            pid_file: home.pid_file(plan.file_name),
            guard: home.guard(),
            dir: home.dir().to_owned(),
            running: Mutex::new(None),
            plan,
        }
    }

    /// Where it listens, with user and password.
    pub fn url(&self) -> &str {
        &self.plan.url
    }

    /// The port on 127.0.0.1 where it listens.
    pub fn port(&self) -> u16 {
        self.plan.port
    }

    /// The program that it runs. PostgreSQL has its tools beside it.
    pub fn program(&self) -> &Path {
        &self.plan.charge.program
    }

    /// The process id of the server itself; none while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.running().as_ref().map(Running::pid).filter(|pid| process::is_alive(*pid))
    }

    /// Whether its process exists, paused or not.
    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    /// Starts it on the same port with the data it had, and waits until it answers.
    ///
    /// # Errors
    /// When it runs already, or does not come up; then with the end of its log.
    pub async fn start(&self) -> Result<()> {
        if self.is_running() {
            bail!("{} runs already", self.plan.name);
        }
        self.stop_leftover().await?;
        let (log, mark) = self.log.open()?;
        let mut running = Running::start(&self.guard, &self.plan.charge, log, &self.dir)
            .await
            .with_context(|| format!("cannot start {}", self.plan.name))?;
        write_private(&self.pid_file, running.pid().to_string().as_bytes())?;
        if let Err(error) = self.wait_until_ready(&mut running, mark).await {
            let _ = running.stop().await;
            return Err(error);
        }
        *self.running() = Some(running);
        Ok(())
    }

    /// Stops it cleanly and waits until it is gone. Nothing happens when it is stopped already.
    ///
    /// # Errors
    /// When it does not even end when it is killed.
    pub async fn stop(&self) -> Result<()> {
        let Some(running) = self.take() else { return Ok(()) };
        running.stop().await.with_context(|| format!("cannot stop {}", self.plan.name))?;
        self.forget_pid()
    }

    /// Kills it with SIGKILL, all of its processes at once, as a machine that loses power does, and waits until it is
    /// gone. Its data stay as they are.
    ///
    /// # Errors
    /// When it is not running, or does not end.
    pub async fn kill(&self) -> Result<()> {
        let Some(running) = self.take() else { bail!("{} is not running", self.plan.name) };
        running.kill().await.with_context(|| format!("cannot kill {}", self.plan.name))?;
        self.forget_pid()
    }

    /// Freezes it with SIGSTOP, all of its processes: connections stay open, and nothing is answered.
    ///
    /// # Errors
    /// When it is not running.
    pub fn pause(&self) -> Result<()> {
        let pid = self.living()?;
        // The server before its children, so that it has no further ones while they are listed.
        process::send(pid, Signal::STOP).with_context(|| format!("cannot pause {}", self.plan.name))?;
        for child in process::children(pid) {
            let _ = process::send(child, Signal::STOP);
        }
        Ok(())
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Errors
    /// When it is not running.
    pub fn resume(&self) -> Result<()> {
        let pid = self.living()?;
        for child in process::children(pid) {
            let _ = process::send(child, Signal::CONT);
        }
        process::send(pid, Signal::CONT).with_context(|| format!("cannot resume {}", self.plan.name))
    }

    /// Starts it on the same port with nothing in it, stopping it first when it runs.
    ///
    /// # Errors
    /// For PostgreSQL, whose data nothing of ours may lose. When it does not stop, or does not come up.
    pub async fn wipe_and_start(&self) -> Result<()> {
        if matches!(self.plan.probe, Probe::Postgres) {
            bail!("PostgreSQL cannot be wiped: take a fresh database instead");
        }
        self.stop().await?;
        fs::remove_dir_all(&self.plan.data).with_context(|| format!("cannot remove {}", self.plan.data.display()))?;
        create_private(&self.plan.data)?;
        self.start().await
    }

    /// Stops the server that an earlier run left behind: its process and the guard were killed together, or the guard
    /// is just at it.
    pub(crate) async fn stop_leftover(&self) -> Result<()> {
        let plan = &self.plan;
        let is_ours = |pid| process::command_line(pid).is_some_and(|line| line.contains(&plan.mark));
        // PostgreSQL also notes its own, even when the process that started it was killed before it could.
        for file in [self.pid_file.clone(), plan.data.join("postmaster.pid")] {
            let Some(pid) = first_line_as_pid(&file).filter(|pid| process::is_alive(*pid)) else { continue };
            if is_ours(pid) {
                tracing::warn!(pid, "stopping {} that an earlier run left behind", plan.name);
                guard::stop_leftover(pid, plan.charge.stop.signal()).await?;
            } else {
                // The number went to another process, whose life would keep PostgreSQL from starting.
                remove_if_there(&file)?;
            }
        }
        self.forget_pid()
    }

    /// What to tell when it ended although nobody stopped it.
    pub(crate) fn unexpected_end(&self) -> Option<String> {
        let mut running = self.running();
        let status = running.as_mut()?.ended()?;
        Some(format!("{} ended by itself ({status}); its log is in {}", self.plan.name, self.dir.join("log").display()))
    }

    async fn wait_until_ready(&self, running: &mut Running, mark: Mark) -> Result<()> {
        let name = self.plan.name;
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let ready = timeout(ANSWER_WITHIN, self.plan.probe.is_ready(self.plan.port)).await;
            // In this order: what answered may be a stranger on our port while ours found it taken.
            if let Some(status) = running.ended() {
                bail!("{name} did not start ({status}); {}", self.log.tail(mark));
            }
            if matches!(ready, Ok(Ok(true))) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("{name} is not ready after {} s; {}", READY_WITHIN.as_secs(), self.log.tail(mark));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn living(&self) -> Result<u32> {
        self.pid().with_context(|| format!("{} is not running", self.plan.name))
    }

    fn take(&self) -> Option<Running> {
        self.running().take()
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_pid(&self) -> Result<()> {
        remove_if_there(&self.pid_file)
    }
}

impl Probe {
    async fn is_ready(&self, port: u16) -> std::io::Result<bool> {
        match self {
            Self::Postgres => postgres::is_ready(port).await,
            Self::Valkey { password } => valkey::is_ready(port, password).await,
            Self::Nats => nats::is_ready(port).await,
        }
    }
}

fn remove_if_there(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

fn first_line_as_pid(file: &Path) -> Option<u32> {
    fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()
}
