//! A program as another process, which a test can kill and freeze.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use taskyard_devstack::process::{self, Signal};
use tokio::time::{Instant, sleep};

use output::Output;

mod output;

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long the system may take to stop a process that was told to.
const FREEZE_WITHIN: Duration = Duration::from_secs(5);

/// What a program gets of our environment.
const PASSED_ON: [&str; 3] = ["PATH", "RUST_LOG", "RUST_BACKTRACE"];

/// A running program. It is killed, with its process group, when this is dropped, and the end of its output is
/// printed, which the test harness shows when the test has failed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: Output,
}

impl Process {
    /// Starts our own program: the one that `TASKYARD_BIN` names, or the one that was built beside the tests.
    ///
    /// # Errors
    /// When there is none.
    pub fn taskyard<A: AsRef<OsStr>, K: AsRef<OsStr>, V: AsRef<OsStr>>(
        arguments: impl IntoIterator<Item = A>,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self> {
        Self::spawn(program()?, arguments, environment)
    }

    /// Starts a program in a process group of its own, with this environment and nothing of ours but `PATH`,
    /// `RUST_LOG` and `RUST_BACKTRACE`.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn spawn<A: AsRef<OsStr>, K: AsRef<OsStr>, V: AsRef<OsStr>>(
        program: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = A>,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self> {
        let program = program.as_ref();
        let mut command = Command::new(program);
        command.args(arguments).env_clear();
        command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?)))).envs(environment);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
        let output = Output::capture(child.stdout.take(), child.stderr.take());
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, child, output })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All lines of its output and error output so far.
    pub fn output(&self) -> String {
        self.output.all()
    }

    /// Sends SIGKILL: it ends at once, with nothing tidied up.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    /// Sends SIGTERM: it should end cleanly.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGSTOP, and waits until it stands still. Its connections stay open.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn freeze(&mut self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let deadline = Instant::now() + FREEZE_WITHIN;
        while !self.is_frozen() {
            if Instant::now() >= deadline {
                bail!("{} does not stand still", self.name);
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Sends SIGCONT: it goes on after [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// When it has ended already.
    pub fn thaw(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Whether it stands still.
    pub fn is_frozen(&self) -> bool {
        process::is_stopped(self.pid())
    }

    /// Sends a signal to the process alone, not to its children.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        // Until somebody asked for its end, its number cannot belong to another process.
        if let Some(status) = self.child.try_wait()? {
            bail!("{} has ended already ({status}); its output:\n{}", self.name, self.output.tail());
        }
        process::send(self.pid(), signal).with_context(|| format!("cannot send a signal to {}", self.name))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it still runs after `within`; then with the end of its output.
    pub async fn wait_exit(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("{} still runs after {within:?}; its output:\n{}", self.name, self.output.tail());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits for a line of its output or error output that contains `text`, and returns that line. Lines from before
    /// the call count too.
    ///
    /// # Errors
    /// When there is none after `within`, or it has ended without; then with the end of its output.
    pub async fn wait_for_output(&mut self, text: &str, within: Duration) -> Result<String> {
        let deadline = Instant::now() + within;
        loop {
            // In this order, for what it says last.
            let ended = self.child.try_wait()?;
            if ended.is_some() {
                self.output.wait_for_end().await;
            }
            if let Some(line) = self.output.find(text) {
                return Ok(line);
            }
            let why = match ended {
                Some(status) => format!("it has ended ({status})"),
                None if Instant::now() >= deadline => format!("not within {within:?}"),
                None => {
                    sleep(LOOK_EVERY).await;
                    continue;
                }
            };
            bail!("{} does not say {text:?}: {why}; its output:\n{}", self.name, self.output.tail());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Children that stay in its group are killed even when it has ended itself.
        let _ = process::send_to_group(self.pid(), Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.output.wait_a_moment_for_end();
        eprintln!("--- the end of the output of {} (pid {}):\n{}", self.name, self.pid(), self.output.tail());
    }
}

/// The program `taskyard`: the one beside the tests, or that of TASKYARD_BIN.
///
/// # Errors
/// If it was not built.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TASKYARD_BIN") {
        return Ok(PathBuf::from(path));
    }
    // Tests lie in target/<profile>/deps.
    let test = std::env::current_exe().context("cannot find our own program")?;
    let beside = test.parent().and_then(Path::parent).map(|profile| profile.join("taskyard"));
    beside.filter(|path| path.is_file()).with_context(|| {
        format!("there is no program taskyard beside {}: run `cargo build`, or set TASKYARD_BIN", test.display())
    })
}
