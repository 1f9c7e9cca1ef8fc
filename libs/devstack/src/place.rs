//! Folders, and where they can be when PostgreSQL runs as another account than ours.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::account::Account;

/// The folder to use for `wanted`, made when it is missing: `wanted` itself, or a private one under the system's
/// temporary folder when `account` cannot get there (a checkout in root's home, say).
pub(crate) async fn reachable(wanted: &Path, account: Option<Account>, on_step: &impl Fn(&str)) -> Result<PathBuf> {
    create(wanted, account)?;
    let wanted = wanted.canonicalize().with_context(|| format!("cannot find {}", wanted.display()))?;
    let Some(account) = account else { return Ok(wanted) };
    if account.can_enter(&wanted).await {
        return Ok(wanted);
    }
    let name = format!(
        "taskyard-{}-{}",
        rustix::process::geteuid().as_raw(),
        short_hash(wanted.as_os_str().as_encoded_bytes())
    );
    // The first survives a restart of the machine.
    for temporary in [PathBuf::from("/var/tmp"), std::env::temp_dir(), PathBuf::from("/tmp")] {
        let candidate = temporary.join(&name);
        if create(&candidate, Some(account)).is_err() || !account.can_enter(&candidate).await {
            continue;
        }
        only_ours(&candidate)?;
        on_step(&format!(
            "PostgreSQL refuses to run as root and the account nobody cannot get into {}: using {} instead",
            wanted.display(),
            candidate.display()
        ));
        return Ok(candidate);
    }
    bail!(
        "PostgreSQL refuses to run as root, and the account nobody can get neither into {} nor into the temporary \
         folders: run as an ordinary user, or set DATABASE_URL to a PostgreSQL that exists",
        wanted.display()
    )
}

/// Makes a folder that only we can read. Does nothing when it exists.
pub(crate) fn create_private(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().mode(0o700).create(dir).with_context(|| format!("cannot make the folder {}", dir.display()))
}

/// Twelve hexadecimal digits that stand for `bytes`.
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// The folder and those above it. Only a folder that we make gets its mode from us.
fn create(dir: &Path, account: Option<Account>) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let make = || {
        if let Some(above) = dir.parent() {
            fs::create_dir_all(above)?;
        }
        fs::create_dir(dir)?;
        // What is secret in it has modes of its own; another account must be able to pass through.
        fs::set_permissions(dir, Permissions::from_mode(if account.is_some() { 0o755 } else { 0o700 }))
    };
    match make() {
        Ok(()) => Ok(()),
        // Another process was quicker.
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot make the folder {}", dir.display())),
    }
}

/// Everybody may write to the temporary folder, so what is found there may be somebody's trap.
fn only_ours(dir: &Path) -> Result<()> {
    let found = fs::symlink_metadata(dir).with_context(|| format!("cannot look at {}", dir.display()))?;
    let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0;
    if !ours {
        bail!("{} is not a folder that only we can write to: remove it", dir.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let dir = std::env::temp_dir().join(format!("taskyard-place-{:x}", rand::random::<u64>()));
        create_private(&dir).unwrap();
        assert!(only_ours(&dir).is_ok());
        fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
        assert!(only_ours(&dir).is_err());
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        let link = dir.join("link");
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        assert!(only_ours(&link).is_err());
        fs::remove_dir_all(&dir).unwrap();
    }
}
