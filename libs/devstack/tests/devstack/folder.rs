//! Folders for a test.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use taskyard_devstack::Options;

/// A path below the temporary folder where nothing is yet; what comes there is removed with this.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(std::env::temp_dir().join(format!("taskyard-devstack-{:016x}", rand::random::<u64>())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// All servers private, with the programs from the workspace's installation.
    pub(crate) fn options(&self) -> Options {
        Options { install_dir: Some(install_dir()), ..Options::new(&self.0) }
    }

    /// The process ids of the servers that the folder says run.
    pub(crate) fn noted_pids(&self) -> Result<Vec<u32>> {
        let mut pids = Vec::new();
        for entry in fs::read_dir(self.0.join("run"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "pid") {
                pids.push(fs::read_to_string(path)?.trim().parse()?);
            }
        }
        Ok(pids)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn install_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.taskyard/servers")
}
