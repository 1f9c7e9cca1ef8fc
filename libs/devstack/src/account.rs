//! The account PostgreSQL runs as: it refuses root, so root hands it to `nobody`.

use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::process::Command;

/// What `nobody` is on most systems, for a container without such an account.
const NOBODY: u32 = 65_534;

/// An account other than our own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// The account for PostgreSQL; none when we are not root and it runs as ourselves.
    pub(crate) async fn for_postgres() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        Some(Self { uid: id_of_nobody("-u").await, gid: id_of_nobody("-g").await })
    }

    /// Makes the account the owner of a file or folder.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("cannot give {} to the account nobody", path.display()))
    }

    /// Whether the account can get into a folder, through all the folders above it.
    pub(crate) async fn can_enter(self, dir: &Path) -> bool {
        let mut enter = Command::new("/bin/sh");
        enter.args(["-c", "cd \"$1\"", "sh"]).arg(dir).current_dir("/").uid(self.uid).gid(self.gid);
        enter.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        enter.status().await.is_ok_and(|status| status.success())
    }
}

/// Asks `id`, which knows every source of accounts (macOS keeps them outside `/etc/passwd`).
async fn id_of_nobody(which: &str) -> u32 {
    let output = Command::new("id").args([which, "nobody"]).stdin(Stdio::null()).output().await;
    output.ok().and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse().ok()).unwrap_or(NOBODY)
}
