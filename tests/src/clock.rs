//! PostgreSQL with a clock of its own. Linux only: elsewhere a program's clock cannot be taken from it.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, PermissionsExt},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, Result};
use taskyard_testkit::{Sandbox, Servers};
use uuid::Uuid;

use crate::Stack;

/// The clock of a private PostgreSQL.
#[derive(Debug)]
pub struct Clock {
    dir: PathBuf,
    file: File,
}

impl Clock {
    /// Private servers whose PostgreSQL goes by this clock. `None` where that cannot be done.
    pub async fn private() -> Result<Option<(Self, Arc<Servers>, Stack)>> {
        let Some(library) = option_env!("CLOCK_SHIM") else { return Ok(None) };
        // Where the account that runs PostgreSQL, which is not ours if we are root, can read both.
        let dir = std::env::temp_dir().join(format!("taskyard-clock-{}", Uuid::new_v4().simple()));
        fs::create_dir(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        let (shim, offset) = (dir.join("libclock_shim.so"), dir.join("offset"));
        fs::copy(library, &shim).with_context(|| format!("cannot copy {library}"))?;
        let file = File::create(&offset)?;
        for path in [&shim, &offset] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
        }
        let clock = Self { dir, file };
        clock.turn(0)?;
        let environment = [("LD_PRELOAD", shim.into_os_string()), ("CLOCK_OFFSET_FILE", offset.into_os_string())];
        let servers = Servers::private_with_environment(&environment).await?;
        let stack = Stack::on(Sandbox::new(&servers).await?).await?;
        Ok(Some((clock, servers, stack)))
    }

    /// From now on it is so many seconds ahead of the real time.
    pub fn turn(&self, seconds: i64) -> Result<()> {
        Ok(self.file.write_all_at(&seconds.to_ne_bytes(), 0)?)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
