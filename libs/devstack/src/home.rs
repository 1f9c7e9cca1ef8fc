//! The folder of a stack: what lies where, and who has it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::place::create_private;
use crate::secrets::Secrets;

const LOCK: &str = "lock";

/// The folder of a stack, which is ours alone while this lives.
#[derive(Debug)]
pub(crate) struct Home {
    dir: PathBuf,
    /// Locked; the system unlocks it when we end, however we end.
    _lock: File,
}

impl Home {
    /// Takes a folder that exists.
    pub(crate) fn open(dir: PathBuf) -> Result<Self> {
        let lock = lock(&dir)?;
        let home = Self { dir, _lock: lock };
        create_private(&home.dir.join("log"))?;
        create_private(&home.dir.join("run"))?;
        home.write_guard()?;
        Ok(home)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The data of one server.
    pub(crate) fn data(&self, server: &str) -> PathBuf {
        self.dir.join(server)
    }

    pub(crate) fn log(&self, server: &str) -> PathBuf {
        self.dir.join("log").join(format!("{server}.log"))
    }

    /// Holds the process id of a server that was started and not yet stopped.
    pub(crate) fn pid_file(&self, server: &str) -> PathBuf {
        self.dir.join("run").join(format!("{server}.pid"))
    }

    /// A server's configuration, its password included.
    pub(crate) fn configuration(&self, server: &str) -> PathBuf {
        self.dir.join("run").join(format!("{server}.conf"))
    }

    pub(crate) fn guard(&self) -> PathBuf {
        self.dir.join("guard.sh")
    }

    pub(crate) fn secrets(&self) -> Result<Secrets> {
        let file = self.secrets_file();
        if !file.exists() && self.data("postgres").exists() {
            bail!("{} is lost, and with it the way into the data: remove {}", file.display(), self.dir.display());
        }
        Secrets::load(&file)
    }

    pub(crate) fn save(&self, secrets: &Secrets) -> Result<()> {
        secrets.save(&self.secrets_file())
    }

    fn secrets_file(&self) -> PathBuf {
        self.dir.join("secrets.json")
    }

    /// The guard is a file rather than an argument so that a list of processes stays readable. PostgreSQL's account
    /// reads it too.
    fn write_guard(&self) -> Result<()> {
        let new = self.dir.join("guard.sh.new");
        let write = || {
            fs::write(&new, include_str!("guard.sh"))?;
            fs::set_permissions(&new, fs::Permissions::from_mode(0o644))?;
            fs::rename(&new, self.guard())
        };
        write().with_context(|| format!("cannot write {}", self.guard().display()))
    }
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            bail!(
                "another taskyard runs on this folder, {}, pid {}: stop it first, or use another folder",
                dir.display(),
                holder.trim()
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    let mut note_our_pid = || {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    note_our_pid().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(file)
}
