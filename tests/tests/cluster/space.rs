//! A namespace with Taskyard in it.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::{Namespace, Pod, Secret, Service},
    },
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, LogParams, PostParams},
};
use serde_json::json;
use taskyard_client::{Pods, Token};
use taskyard_testkit::eventually;
use tokio::{io::AsyncWriteExt, process::Command};

/// How long a small thing may take on a busy cluster.
pub const SOON: Duration = Duration::from_secs(60);
/// The port of k8s/kind.yaml.
const NODE_PORT: u16 = 30_080;

/// What both charts are given on a cluster whose images are loaded, and whose cores are shared.
const SMALL: &str = "
defaults:
  resources: {requests: {cpu: 20m, memory: 32Mi}}
  topologySpreadConstraints: []
";

#[derive(Clone)]
pub struct Space {
    pub name: String,
    pub client: Client,
}

impl Space {
    /// Runs a test in a namespace of its own, which is removed afterwards. What went on in it is shown if it fails.
    pub async fn with(name: &str, test: impl AsyncFnOnce(&Self) -> Result<()>) -> Result<()> {
        let mut config = kube::Config::infer().await.context("KUBECONFIG leads to no cluster")?;
        // An answer is told as it is.
        config.default_retry = false;
        let client = Client::try_from(config)?;
        let space = Self { name: format!("taskyard-{name}"), client };
        space.remove().await?;
        space.make().await?;
        let ended = test(&space).await;
        if ended.is_err() {
            space.show().await;
        }
        let removed = space.remove().await;
        ended.and(removed)
    }

    async fn make(&self) -> Result<()> {
        let namespace = serde_json::from_value(json!({
            "metadata": { "name": self.name, "labels": {
                "pod-security.kubernetes.io/enforce": "restricted",
                "pod-security.kubernetes.io/warn": "restricted",
            } },
        }))?;
        Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &namespace).await?;
        // Pods need it.
        let accounts = self.api::<k8s_openapi::api::core::v1::ServiceAccount>();
        eventually(SOON, "the default account is there", async || accounts.get_opt("default").await.ok().flatten())
            .await?;
        Ok(())
    }

    async fn remove(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        if namespaces.get_opt(&self.name).await?.is_some() {
            // First what is outside of the namespace: an API without a server would keep every namespace from going.
            for release in ["taskyard", "taskyard-devstack"] {
                self.helm(["uninstall", release, "--wait", "--ignore-not-found"]).await?;
            }
            namespaces.delete(&self.name, &DeleteParams::default()).await?;
        }
        eventually(Duration::from_secs(120), "the namespace is gone", async || {
            namespaces.get_opt(&self.name).await.ok()?.is_none().then_some(())
        })
        .await
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Installs both charts, with values over those for a small cluster, and waits until all is ready.
    pub async fn install(&self, values: &str) -> Result<()> {
        self.helm(["install", "taskyard-devstack", "charts/taskyard-devstack"]).await?;
        let values = format!("{SMALL}\n---\n{values}");
        self.helm_with(["install", "taskyard", "charts/taskyard", "--wait", "--timeout", "120s"], &values).await?;
        Ok(())
    }

    /// Helm, in this namespace.
    pub async fn helm<const N: usize>(&self, arguments: [&str; N]) -> Result<String> {
        self.helm_with(arguments, "").await
    }

    /// Helm with values, in documents each over the one before, and with our image.
    pub async fn helm_with<const N: usize>(&self, arguments: [&str; N], values: &str) -> Result<String> {
        let mut command = Command::new(helm());
        command.args(arguments).args(["--namespace", &self.name]);
        let mut files = Vec::new();
        if matches!(arguments[0], "install" | "upgrade" | "template") && arguments[2] == "charts/taskyard" {
            let mut documents = vec![own_values()];
            documents.extend(values.split("\n---\n").map(str::to_owned));
            for document in documents {
                let file = env::temp_dir().join(format!("{}-{}.yaml", self.name, files.len()));
                tokio::fs::write(&file, document).await?;
                command.arg("--values").arg(&file);
                files.push(file);
            }
        }
        let said = run(command.current_dir(root()), None).await;
        for file in files {
            let _ = tokio::fs::remove_file(file).await;
        }
        said
    }

    /// The gateway, from here.
    pub async fn url(&self) -> Result<String> {
        if let Ok(url) = env::var("TASKYARD_CLUSTER_URL") {
            return Ok(url);
        }
        let service = self.api::<Service>().get("taskyard-gateway").await?;
        let address = service.spec.and_then(|spec| spec.cluster_ip).context("the gateway's Service has no address")?;
        Ok(format!("http://{address}:8080"))
    }

    /// The first key, which the chart made.
    pub async fn token(&self) -> Result<String> {
        let data = self.api::<Secret>().get("taskyard").await?.data.unwrap_or_default();
        let ByteString(token) = data.get("TASKYARD_ADMIN_KEY").context("no key")?;
        Ok(String::from_utf8(token.clone())?)
    }

    /// A client of the gateway, over gRPC.
    pub async fn taskyard(&self) -> Result<taskyard_client::Client> {
        let pods = Pods::connect([self.url().await?], Token::bearer(&self.token().await?)?)?;
        Ok(taskyard_client::Client::new(pods))
    }

    /// The pods of a role.
    pub async fn pods(&self, role: &str) -> Result<Vec<Pod>> {
        let labels = format!("app.kubernetes.io/instance=taskyard,app.kubernetes.io/component={role}");
        let pods = self.api::<Pod>().list(&ListParams::default().labels(&labels)).await?;
        Ok(pods.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }

    /// What a pod answers, by way of the API server.
    pub async fn ask_pod(&self, pod: &Pod, port: u16, path: &str) -> Result<String> {
        let uri = format!("/api/v1/namespaces/{}/pods/{}:{port}/proxy/{path}", self.name, pod.name_any());
        Ok(self.client.request_text(http::Request::get(uri).body(Vec::new())?).await?)
    }

    /// Waits until everything has as many ready pods as it wants, all of them new.
    pub async fn is_ready(&self, within: Duration) -> Result<()> {
        eventually(within, "everything is ready", async || {
            let deployments = self.api::<Deployment>().list(&ListParams::default()).await.ok()?;
            let ready = deployments.iter().all(|deployment| {
                let status = deployment.status.clone().unwrap_or_default();
                let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                status.observed_generation >= deployment.metadata.generation
                    && status.ready_replicas.unwrap_or(0) == wanted
                    && status.replicas.unwrap_or(0) == wanted
                    && status.updated_replicas.unwrap_or(0) == wanted
            });
            let sets = self.api::<StatefulSet>().list(&ListParams::default()).await.ok()?;
            let sets_ready = sets.iter().all(|set| {
                let status = set.status.clone().unwrap_or_default();
                status.ready_replicas.unwrap_or(0) == set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
            });
            (ready && sets_ready).then_some(())
        })
        .await
    }

    /// Runs a pod to its end: whether it succeeded, and its log.
    pub async fn run_pod(
        &self,
        name: &str,
        image: &str,
        command: &[&str],
        labels: &BTreeMap<String, String>,
    ) -> Result<(bool, String)> {
        let pods = self.api::<Pod>();
        let pod = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": labels },
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "terminationGracePeriodSeconds": 0,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 999, "seccompProfile": { "type": "RuntimeDefault" },
                },
                "containers": [{
                    "name": "main",
                    "image": image,
                    "command": command,
                    "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                    // It is looked at, not called, though it may have the labels of those that are.
                    "readinessProbe": { "tcpSocket": { "port": 1 } },
                }],
            },
        }))?;
        pods.create(&PostParams::default(), &pod).await?;
        let phase = eventually(SOON, format!("the pod {name} ends"), async || {
            let phase = pods.get(name).await.ok()?.status?.phase?;
            matches!(phase.as_str(), "Succeeded" | "Failed").then_some(phase)
        })
        .await?;
        let log = pods.logs(name, &LogParams::default()).await?;
        pods.delete(name, &DeleteParams::default().grace_period(0)).await?;
        Ok((phase == "Succeeded", log))
    }

    /// Shows what went on.
    async fn show(&self) {
        let Ok(pods) = self.api::<Pod>().list(&ListParams::default()).await else { return };
        for pod in pods {
            let status = pod.status.clone().unwrap_or_default();
            let ready = status.conditions.iter().flatten().find(|one| one.type_ == "Ready");
            let restarts: i32 = status.container_statuses.iter().flatten().map(|one| one.restart_count).sum();
            println!(
                "\n=== {}: {:?}, ready {:?}, {restarts} restarts",
                pod.name_any(),
                status.phase,
                ready.map(|one| &one.status)
            );
            for previous in [true, false] {
                let log = LogParams { tail_lines: Some(40), previous, ..LogParams::default() };
                if let Ok(log) = self.api::<Pod>().logs(&pod.name_any(), &log).await {
                    println!("{log}");
                }
            }
        }
        let events = self.api::<k8s_openapi::api::core::v1::Event>().list(&ListParams::default()).await;
        for event in events.into_iter().flatten().filter(|event| event.type_.as_deref() == Some("Warning")) {
            println!("{}: {}", event.involved_object.name.unwrap_or_default(), event.message.unwrap_or_default());
        }
    }
}

/// The repository's root, where charts are.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Our image.
pub fn image() -> String {
    env::var("TASKYARD_IMAGE").unwrap_or_else(|_| format!("taskyard:{}", env!("CARGO_PKG_VERSION")))
}

/// An image with a shell: that of the devstack's Postgres.
pub fn shell_image() -> String {
    let values = include_str!("../../../charts/taskyard-devstack/values.yaml");
    let line = values.lines().find_map(|line| line.trim().strip_prefix("image: postgres:"));
    format!("postgres:{}", line.unwrap_or_default())
}

/// Runs a command; its output, or what went wrong.
pub async fn run(command: &mut Command, input: Option<&str>) -> Result<String> {
    let shown = format!("{:?}", command.as_std());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {shown}"))?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(input.as_bytes()).await?;
    }
    let Output { status, stdout, stderr } = child.wait_with_output().await?;
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    ensure!(status.success(), "{shown}: {status}\n{stdout}\n{stderr}");
    Ok(stdout.into_owned())
}

fn helm() -> PathBuf {
    env::var_os("HELM").map_or_else(|| root().join(".taskyard/chart-tools/bin/helm4"), PathBuf::from)
}

/// Our image, and a way to the gateway where its Service's address is none.
fn own_values() -> String {
    let image = image();
    let (repository, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
    let mut values = format!("image: {{repository: {repository}, tag: '{tag}'}}\n");
    if env::var_os("TASKYARD_CLUSTER_URL").is_some() {
        values += &format!(
            "roles: {{gateway: {{port: {{nodePort: {NODE_PORT}}}, service: {{spec: {{type: NodePort}}}}}}}}\n"
        );
    }
    values
}

/// Fails with what was said, unless it is a failure that says this.
pub fn refused(said: Result<String>, why: &str) -> Result<()> {
    match said {
        Err(error) if format!("{error:#}").contains(why) => Ok(()),
        Err(error) => Err(error.context(format!("refused, but not by `{why}`"))),
        Ok(said) => bail!("`{why}` was expected, not: {said}"),
    }
}
