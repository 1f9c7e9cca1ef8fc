//! Autoscalers: workers by the backlog, gateways by CPU.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, api::DeleteParams};
use serde_json::{Value, json};
use taskyard_client::v1::{ListTasksRequest, NewTask, TaskState};
use taskyard_testkit::eventually;
use taskyard_tests::new_task;
use tokio::task::JoinSet;

use crate::space::{SOON, Space, refused};

/// Small pods, and an autoscaler that shrinks within the time of a test.
const VALUES: &str = r#"
roles:
  operator: {enabled: true, replicas: 1}
  worker:
    env: {TASKYARD_WORKER_SLOTS: "10"}
    autoscaling:
      enabled: true
      minReplicas: 1
      maxReplicas: 5
      metrics:
        - type: External
          external:
            metric: {name: taskyard_backlog, selector: {matchExpressions: [{key: kind, operator: In, values: [http, noop, sleep]}]}}
            target: {type: AverageValue, averageValue: "10"}
      behavior: {scaleDown: {stabilizationWindowSeconds: 15, policies: [{type: Percent, value: 100, periodSeconds: 5}]}}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_grow_with_the_backlog_and_shrink_without_harm() -> Result<()> {
    Space::with("backlog", async |space| {
        space.install(VALUES).await?;
        let read = async |query: &str| metric(space, "taskyard_backlog", query).await;
        eventually(SOON, "the metric is served", async || (read("").await.ok()? == 0).then_some(())).await?;
        eventually(SOON, "one worker is enough", async || (space.pods("worker").await.ok()?.len() == 1).then_some(()))
            .await?;

        let client = space.taskyard().await?;
        let tasks: Vec<NewTask> = (0..150)
            .map(|_| NewTask { payload: json!({ "ms": 8_000 }).to_string().into(), ..new_task("sleep") })
            .collect();
        let begun = Instant::now();
        client.create_tasks(tasks).await?;
        eventually(Duration::from_secs(45), "workers grow", async || {
            (space.pods("worker").await.ok()?.len() > 1).then_some(())
        })
        .await?;
        println!("backlog: the first new worker pod after {:.1} s", begun.elapsed().as_secs_f64());
        ensure!(read("queue%3Ddefault").await? > 10, "the backlog is not told");
        ensure!(read("queue%3Dother").await? == 0, "another queue's backlog is told");
        refused(
            metric(space, "taskyard_backlog", "que%3Dother").await.map(|value| value.to_string()),
            "there is no label `que`",
        )?;

        // As many as are wanted, then few again, while the last tasks still run.
        eventually(Duration::from_secs(180), "all tasks have ended", async || {
            let queues = client.list_queues(Default::default()).await.ok()?.queues;
            queues.iter().all(|queue| queue.ready + queue.running == 0).then_some(())
        })
        .await?;
        eventually(Duration::from_secs(120), "workers shrink", async || {
            (space.pods("worker").await.ok()?.len() == 1).then_some(())
        })
        .await?;
        let mut request = ListTasksRequest { page_size: 500, ..ListTasksRequest::default() };
        request.filter.get_or_insert_default().states = vec![TaskState::Completed.into()];
        let done = client.list_tasks(request).await?.tasks;
        ensure!(done.len() == 150, "{} of 150 are completed", done.len());
        for task in done {
            ensure!(task.attempt == 0, "{} has spent an attempt", task.id);
        }
        Ok(())
    })
    .await
}

/// What the operator cannot know it answers with an error; whom the cluster does not let, it refuses; a certificate that
/// is gone is made anew.
#[tokio::test]
async fn the_operator_never_tells_zero_for_an_error() -> Result<()> {
    Space::with("operator", async |space| {
        space.install("roles: {operator: {enabled: true, replicas: 1}}").await?;
        let read = async || metric(space, "taskyard_backlog", "").await;
        eventually(SOON, "the metric is served", async || read().await.ok()).await?;

        // By itself, without the API server.
        let operator = space.pods("operator").await?.pop().context("no operator")?;
        let address = operator.status.and_then(|status| status.pod_ip).context("no address")?;
        let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build()?;
        let url = format!(
            "https://{address}:8443/apis/external.metrics.k8s.io/v1beta1/namespaces/{}/taskyard_backlog",
            space.name
        );
        let answer = http
            .get(&url)
            .header("X-Remote-User", "system:admin")
            .header("X-Remote-Group", "system:masters")
            .send()
            .await?;
        ensure!(answer.status() == 401, "a stranger is told: {answer:?}");

        // By the API server, for a user who may not.
        let uri = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{}/taskyard_backlog", space.name);
        let request = http::Request::get(uri).header("Impersonate-User", "jane").body(Vec::new())?;
        refused(space.client.request_text(request).await.map_err(Into::into), "forbidden")?;

        // A certificate that is gone is made anew, and made known.
        space
            .api::<Secret>()
            .patch("taskyard-operator-tls", &Default::default(), &kube::api::Patch::Merge(json!({ "data": null })))
            .await?;
        let made = async || {
            let secret = space.api::<Secret>().get("taskyard-operator-tls").await.ok()?;
            secret.data.filter(|data| data.contains_key("tls.crt"))
        };
        eventually(SOON, "the certificate is made anew", made).await?;
        eventually(SOON, "the metric is served again", async || read().await.ok()).await?;

        // Without a tasks service nothing is known.
        let scaled = kube::api::Patch::Merge(json!({ "spec": { "replicas": 0 } }));
        space
            .api::<k8s_openapi::api::apps::v1::Deployment>()
            .patch_scale("taskyard-tasks", &Default::default(), &scaled)
            .await?;
        for pod in space.pods("tasks").await? {
            space
                .api::<k8s_openapi::api::core::v1::Pod>()
                .delete(&pod.name_any(), &DeleteParams::default().grace_period(0))
                .await?;
        }
        eventually(SOON, "the metric is an error", async || {
            read().await.err().filter(|error| format!("{error:#}").contains("the backlog is not known"))
        })
        .await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_grow_with_the_load_on_their_cpu() -> Result<()> {
    Space::with("cpu", async |space| {
        let values = r#"
roles:
  gateway:
    replicas: 1
    resources: {requests: {cpu: 50m}}
    autoscaling: {enabled: true, minReplicas: 1, maxReplicas: 3}
"#;
        space.install(values).await?;
        let client = space.taskyard().await?;
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            let client = client.clone();
            callers.spawn(async move { while client.list_queues(Default::default()).await.is_ok() {} });
        }
        eventually(Duration::from_secs(120), "gateways grow", async || {
            (space.pods("gateway").await.ok()?.len() > 1).then_some(())
        })
        .await?;
        callers.shutdown().await;
        Ok(())
    })
    .await
}

/// The sum of a metric, as the autoscaler reads it.
async fn metric(space: &Space, name: &str, selector: &str) -> Result<u64> {
    let uri =
        format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{}/{name}?labelSelector={selector}", space.name);
    let list: Value = space.client.request(http::Request::get(uri).body(Vec::new())?).await?;
    let values = list["items"].as_array().context("no items")?;
    values.iter().map(|item| Ok(item["value"].as_str().context("no value")?.parse::<u64>()?)).sum()
}
