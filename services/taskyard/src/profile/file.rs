//! The files that profiles are kept in. Only their owner can read them.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Profile;

/// The folder of `taskyard up`, as seen from where it was started.
const LOCAL: &str = ".taskyard/profile.json";

/// A user's profiles.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Profiles {
    /// The one that is used if none is named.
    pub current: Option<String>,
    /// All, by name.
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

impl Profiles {
    /// Those of this user; none if there is no file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn load() -> Result<Self> {
        Ok(read(&path()?)?.unwrap_or_default())
    }

    /// Changes them. Nobody else does meanwhile.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub async fn change<T>(change: impl AsyncFnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let path = path()?;
        let folder = path.parent().context("a folder")?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let lock = path.with_extension("lock");
        let lock = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock)
            .with_context(|| format!("cannot open {}", lock.display()))?;
        // Off the runtime's threads: another process may hold it while it talks to a server.
        let lock = tokio::task::spawn_blocking(move || flock(&lock, FlockOperation::LockExclusive).map(|()| lock));
        let _lock = lock.await?.context("cannot lock the profiles")?;
        let mut profiles = Self::load()?;
        let done = change(&mut profiles).await?;
        write_private(&path, &profiles)?;
        Ok(done)
    }
}

/// What `taskyard up` wrote in this place.
///
/// # Errors
/// If there is such a file and it cannot be read.
pub fn local() -> Result<Option<Profile>> {
    read(Path::new(LOCAL))
}

fn path() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("TASKYARD_CONFIG_DIR")
        .or_else(|| set("XDG_CONFIG_HOME").map(|folder| folder.join("taskyard")))
        .or_else(|| set("HOME").map(|home| home.join(".config/taskyard")))
        .context("there is no home folder for profiles; set TASKYARD_CONFIG_DIR")?;
    Ok(folder.join("profiles.json"))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| format!("{} is damaged", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a file that only its owner can read, whole or not at all.
///
/// # Errors
/// If it cannot be written.
pub fn write_private(path: &Path, content: &impl Serialize) -> Result<()> {
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let text = serde_json::to_vec_pretty(content)?;
    let written = || {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}
