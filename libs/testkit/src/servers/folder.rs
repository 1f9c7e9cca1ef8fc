//! Folders of private servers, below the system's temporary folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const NAME: &str = "taskyard-testkit-";

/// A younger folder may belong to a process that has yet to lock it.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// Removed, with all that is in it, when dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// One that does not exist yet.
    pub(super) fn new() -> Self {
        Self(std::env::temp_dir().join(format!("{NAME}{:016x}", rand::random::<u64>())))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// Removes what tests left that were killed.
pub(super) async fn remove_abandoned() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(NAME);
        let age = entry.metadata().and_then(|found| found.modified()).ok().and_then(|time| time.elapsed().ok());
        if is_ours && age.is_some_and(|age| age > ABANDONED_AFTER) {
            // Another user's folder cannot be removed, and another test may be quicker.
            let _ = taskyard_devstack::remove_abandoned(&entry.path()).await;
        }
    }
}
