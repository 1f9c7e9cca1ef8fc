//! Another version of everything, and back, under load.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::{
    load::Load,
    space::{Space, image},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_and_a_rollback_fail_no_call_and_spend_no_attempt() -> Result<()> {
    Space::with("upgrade", async |space| {
        space.install("").await?;
        let load = Load::start(space).await?;
        tokio::time::sleep(Duration::from_secs(5)).await;

        // The same program under another name: what counts is that every pod is replaced.
        let next = std::env::var("TASKYARD_IMAGE_NEXT").unwrap_or_else(|_| format!("{}-next", image()));
        let tag = next.rsplit_once(':').map_or("latest", |(_, tag)| tag).to_owned();
        let begun = Instant::now();
        space
            .helm_with(
                ["upgrade", "taskyard", "charts/taskyard", "--reuse-values", "--wait", "--timeout", "240s"],
                &format!("image: {{tag: '{tag}'}}"),
            )
            .await?;
        space.is_ready(Duration::from_secs(120)).await?;
        println!("upgrade: rolled out under load after {:.0} s", begun.elapsed().as_secs_f64());
        for role in ["gateway", "tasks", "worker"] {
            for pod in space.pods(role).await? {
                let images = pod.spec.iter().flat_map(|spec| &spec.containers).filter_map(|one| one.image.as_deref());
                ensure!(images.eq([next.as_str()]), "a pod has not been replaced: {:?}", pod.metadata.name);
            }
        }
        tokio::time::sleep(Duration::from_secs(5)).await;

        let begun = Instant::now();
        space.helm(["rollback", "taskyard", "--wait", "--timeout", "240s"]).await?;
        space.is_ready(Duration::from_secs(120)).await?;
        println!("rollback: rolled out under load after {:.0} s", begun.elapsed().as_secs_f64());
        tokio::time::sleep(Duration::from_secs(5)).await;
        load.settle(space, Duration::from_secs(60)).await
    })
    .await
}
