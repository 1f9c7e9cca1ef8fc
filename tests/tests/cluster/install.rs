//! Both charts with their default values; the first task; nothing left behind.

use std::{collections::BTreeSet, time::Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
    discovery::{Discovery, Scope, verbs},
};
use tokio::process::Command;

use crate::space::{SOON, Space, run};

#[tokio::test]
async fn default_values_run_a_task_and_leave_nothing_behind() -> Result<()> {
    Space::with("install", async |space| {
        let before = objects(space).await?;
        let begun = Instant::now();
        space.helm(["install", "taskyard-devstack", "charts/taskyard-devstack"]).await?;
        let told = space.helm(["install", "taskyard", "charts/taskyard", "--wait", "--timeout", "60s"]).await?;
        println!("install: all ready after {:.1} s", begun.elapsed().as_secs_f64());
        ensure!(told.contains("taskyard task create"), "the notes name no next command: {told}");

        // As a user at a desk would, by the command line.
        let created = run(
            Command::new(taskyard_testkit::program()?)
                .args(["task", "create", "--kind", "sleep", "--payload", r#"{"ms": 10}"#, "--wait", "--json"])
                .env("TASKYARD_URL", space.url().await?)
                .env("TASKYARD_TOKEN", space.token().await?),
            None,
        )
        .await?;
        println!("install: the first task ended after {:.1} s", begun.elapsed().as_secs_f64());
        ensure!(created.contains("completed"), "{created}");
        // And as the chart's own test does, from inside.
        let tested = space.helm(["test", "taskyard", "--logs"]).await?;
        ensure!(tested.contains("Succeeded"), "{tested}");

        // What was made stays over an upgrade.
        let token = space.token().await?;
        space.helm(["upgrade", "taskyard", "charts/taskyard", "--wait", "--timeout", "60s"]).await?;
        ensure!(space.token().await? == token, "an upgrade has changed the token");

        for release in ["taskyard", "taskyard-devstack"] {
            space.helm(["uninstall", release, "--wait"]).await?;
        }
        let left = taskyard_testkit::eventually(SOON, "nothing is left behind", async || {
            let now = objects(space).await.ok()?;
            (now.difference(&before).count() == 0).then_some(())
        })
        .await;
        left.with_context(|| format!("{before:?}"))
    })
    .await
}

const KEY: &str = "tyk_of-my-own-000000000000000000000000";

/// Keys of a Secret of one's own are used.
#[tokio::test]
async fn secrets_of_ones_own_are_used() -> Result<()> {
    Space::with("secrets", async |space| {
        let secret: Secret = serde_json::from_value(serde_json::json!({
            "metadata": { "name": "mine" },
            "stringData": { "key": KEY, "password": "a password of my own",
                "worker": "tys_of-my-own-000000000000000000000000000", "operator": "tys_of-my-own-111111111111111111111111111" },
        }))?;
        space.api::<Secret>().create(&kube::api::PostParams::default(), &secret).await?;
        let values = "secrets:
  TASKYARD_ADMIN_PASSWORD: {existingSecret: mine, key: password}
  TASKYARD_ADMIN_KEY: {existingSecret: mine, key: key}
  TASKYARD_WORKER_KEY: {existingSecret: mine, key: worker}
  TASKYARD_OPERATOR_KEY: {existingSecret: mine, key: operator}";
        space.install(values).await?;
        ensure!(space.api::<Secret>().get_opt("taskyard").await?.is_none(), "a Secret was made that nobody needs");
        let token = taskyard_client::Token::bearer(KEY)?;
        let client = taskyard_client::Client::new(taskyard_client::Pods::connect([space.url().await?], token)?);
        client.list_queues(taskyard_client::v1::ListQueuesRequest::default()).await?;
        let wrong = taskyard_client::Token::bearer("tyk_another-key-00000000000000000000000")?;
        let client = taskyard_client::Client::new(taskyard_client::Pods::connect([space.url().await?], wrong)?);
        ensure!(
            client.list_queues(taskyard_client::v1::ListQueuesRequest::default()).await.is_err(),
            "any key is taken"
        );
        Ok(())
    })
    .await
}

/// Every object in the namespace, and those of the whole cluster that are ours.
async fn objects(space: &Space) -> Result<BTreeSet<String>> {
    let discovery = Discovery::new(space.client.clone()).run().await?;
    let mut found = BTreeSet::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            // What the cluster writes by itself.
            if !capabilities.supports_operation(verbs::LIST)
                || ["Event", "PodMetrics", "EndpointSlice", "Endpoints"].contains(&resource.kind.as_str())
            {
                continue;
            }
            let (api, list): (Api<DynamicObject>, _) = match capabilities.scope {
                Scope::Namespaced => {
                    (Api::namespaced_with(space.client.clone(), &space.name, &resource), ListParams::default())
                }
                Scope::Cluster => (
                    Api::all_with(space.client.clone(), &resource),
                    ListParams::default().labels("app.kubernetes.io/part-of=taskyard"),
                ),
            };
            for object in api.list(&list).await.with_context(|| format!("list {}", resource.kind))? {
                found.insert(format!("{}/{}", resource.kind, object.name_any()));
            }
        }
    }
    Ok(found)
}
