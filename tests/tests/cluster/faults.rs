//! Pods that abort, are deleted in turn, or lose their volumes, under load.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{ResourceExt, api::DeleteParams};
use taskyard_testkit::eventually;

use crate::{
    load::Load,
    space::{SOON, Space, shell_image},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_aborts_loses_nothing() -> Result<()> {
    Space::with("abort", async |space| {
        // Each pod finds the order once, and carries it out when it leads.
        let values = format!(
            r#"
roles:
  tasks:
    env: {{TASKYARD_FAULT_FILE: /fault/order}}
    volumes: [{{name: fault, emptyDir: {{}}}}]
    volumeMounts: [{{name: fault, mountPath: /fault}}]
    initContainers:
      - name: order
        image: {}
        command: [sh, -c, "echo abort start-committed >/fault/order && chmod 666 /fault/order"]
        volumeMounts: [{{name: fault, mountPath: /fault}}]
        securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"#,
            shell_image()
        );
        space.install(&values).await?;
        let load = Load::start(space).await?;
        eventually(SOON, "the leader has aborted", async || {
            let restarts = |pod: &Pod| -> i32 {
                let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
                statuses.map(|one| one.restart_count).sum()
            };
            (space.pods("tasks").await.ok()?.iter().map(restarts).sum::<i32>() > 0).then_some(())
        })
        .await?;
        space.is_ready(SOON).await?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        load.settle(space, SOON).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_and_servers_that_are_deleted_lose_nothing() -> Result<()> {
    Space::with("delete", async |space| {
        space.install("").await?;
        let load = Load::start(space).await?;
        for role in ["gateway", "tasks", "worker"] {
            for pod in space.pods(role).await? {
                space.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default()).await?;
                let gone = pod.name_any();
                eventually(SOON, format!("{gone} is replaced"), async || {
                    let pods = space.pods(role).await.ok()?;
                    let ready = |pod: &Pod| {
                        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
                        conditions.filter(|one| one.type_ == "Ready").any(|one| one.status == "True")
                    };
                    (pods.len() == 2 && pods.iter().all(|pod| pod.name_any() != gone && ready(pod))).then_some(())
                })
                .await?;
            }
        }
        for server in ["taskyard-devstack-valkey-0", "taskyard-devstack-nats-0"] {
            ensure!(
                space
                    .api::<PersistentVolumeClaim>()
                    .list(&Default::default())
                    .await?
                    .iter()
                    .all(|claim| !claim.name_any().contains(server)),
                "{server} keeps something: its volume must go, too"
            );
            let old = space.api::<Pod>().get(server).await?.uid();
            space.api::<Pod>().delete(server, &DeleteParams::default().grace_period(0)).await?;
            eventually(SOON, format!("{server} is back, and empty"), async || {
                let pod = space.api::<Pod>().get_opt(server).await.ok()??;
                (pod.uid() != old && pod.status?.container_statuses?.iter().all(|one| one.ready)).then_some(())
            })
            .await?;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        load.settle(space, SOON).await
    })
    .await
}
