//! The ports and passwords of a folder's servers, and files that only we can read.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What a folder remembers, so that urls stay the same from run to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Secrets {
    pub(crate) postgres: Access,
    pub(crate) valkey: Access,
    pub(crate) nats: Access,
}

/// How to get into one server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Access {
    /// 0 until the server was started for the first time.
    pub(crate) port: u16,
    pub(crate) password: String,
}

impl Secrets {
    /// Those of the file; new ones when there is none.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let new = Self { postgres: Access::new(), valkey: Access::new(), nats: Access::new() };
                new.save(path)?;
                Ok(new)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        write_private(path, &serde_json::to_vec_pretty(self)?)
    }
}

impl Access {
    fn new() -> Self {
        Self { port: 0, password: format!("{:032x}", rand::random::<u128>()) }
    }
}

/// Writes a file that only we can read, whole or not at all.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let write = || {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
