//! The Tiltfile: `tilt ci` builds, loads, and has everything ready.

use std::env;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::space::{Space, root, run};

#[tokio::test]
async fn tilt_builds_and_runs_all_of_it() -> Result<()> {
    Space::with("tilt", async |space| {
        let mut command = Command::new("tilt");
        command.args(["ci", "--web-mode", "embedded", "--port", "0", "--namespace", &space.name]).current_dir(root());
        // How an image gets into a cluster that is not kind.
        if let Ok(load) = env::var("TASKYARD_TILT_LOAD") {
            command.args(["--", &format!("--load={load}")]);
        }
        let said = run(&mut command, None).await.context("tilt, https://tilt.dev, or docker is missing, or failed")?;
        ensure!(said.contains("SUCCESS"), "{said}");
        ensure!(space.pods("gateway").await?.len() == 1, "there is not one gateway");
        Ok(())
    })
    .await
}
