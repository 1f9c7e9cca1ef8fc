//! The log file of a server.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// A log that has grown beyond this is moved to `….old` at the next start.
const KEPT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How much of a log an error shows.
const TAIL_LINES: usize = 15;
const TAIL_BYTES: u64 = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
}

/// Where in the log a start of the server began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(u64);

impl Log {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Opens the file for the server to append to.
    pub(crate) fn open(&self) -> Result<(File, Mark)> {
        let length = fs::metadata(&self.path).map_or(0, |found| found.len());
        if length > KEPT_BYTES_MAX {
            fs::rename(&self.path, self.path.with_extension("log.old"))
                .with_context(|| format!("cannot move {}", self.path.display()))?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)
            .with_context(|| format!("cannot open the log {}", self.path.display()))?;
        Ok((file, Mark(if length > KEPT_BYTES_MAX { 0 } else { length })))
    }

    /// The last lines since `mark`, for an error.
    pub(crate) fn tail(&self, mark: Mark) -> String {
        let lines = self.read_end(mark).unwrap_or_default();
        let mut last: Vec<&str> = lines.lines().rev().take(TAIL_LINES).collect();
        last.reverse();
        if last.is_empty() {
            return format!("its log {} says nothing", self.path.display());
        }
        format!("the end of its log {}:\n  {}", self.path.display(), last.join("\n  "))
    }

    fn read_end(&self, Mark(start): Mark) -> std::io::Result<String> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(length.saturating_sub(TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
