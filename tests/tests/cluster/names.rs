//! What the chart names is there: variables, ports and paths, as the running pods have them.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use k8s_openapi::{api::core::v1::Probe, apimachinery::pkg::util::intstr::IntOrString};
use kube::ResourceExt;
use tokio::{net::TcpStream, process::Command};

use crate::space::{Space, run};

#[tokio::test]
async fn every_variable_port_and_path_of_the_chart_exists() -> Result<()> {
    Space::with("names", async |space| {
        space.install("roles: {operator: {enabled: true, replicas: 1}}").await?;
        for role in ["gateway", "tasks", "worker", "operator"] {
            let help = run(Command::new(taskyard_testkit::program()?).args([role, "--help"]), None).await?;
            let pod = space.pods(role).await?.into_iter().next().with_context(|| format!("no pod of {role}"))?;
            let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("no address")?;
            let container =
                pod.spec.clone().and_then(|spec| spec.containers.into_iter().next()).context("no container")?;

            let known: BTreeSet<&str> =
                help.split("[env: ").skip(1).filter_map(|part| part.split(['=', ']']).next()).collect();
            for variable in container.env.iter().flatten() {
                // Empty ones are not given.
                ensure!(
                    known.contains(variable.name.as_str()) || variable.value.as_deref().is_none_or(str::is_empty),
                    "`taskyard {role}` does not know {}: {known:?}",
                    variable.name
                );
            }

            let ports = container.ports.unwrap_or_default();
            for port in &ports {
                let number = u16::try_from(port.container_port)?;
                let connect = TcpStream::connect((address.as_str(), number));
                let connected = tokio::time::timeout(Duration::from_secs(5), connect).await;
                ensure!(
                    matches!(connected, Ok(Ok(_))),
                    "{}: nothing listens at {number}: {connected:?}",
                    pod.name_any()
                );
            }
            let probes = [container.startup_probe, container.readiness_probe, container.liveness_probe];
            for probe in probes.into_iter().map(|probe| probe.context("a probe is missing")) {
                asked(space, &pod, &probe?, &ports).await?;
            }
            let metrics = space.ask_pod(&pod, 9090, "metrics").await?;
            ensure!(metrics.contains("# EOF"), "{role} tells no metrics: {metrics}");
        }
        Ok(())
    })
    .await
}

async fn asked(
    space: &Space,
    pod: &k8s_openapi::api::core::v1::Pod,
    probe: &Probe,
    ports: &[k8s_openapi::api::core::v1::ContainerPort],
) -> Result<()> {
    // The kubelet asks over gRPC itself: a pod that is ready has answered.
    let Some(http) = &probe.http_get else { return Ok(()) };
    let number = match &http.port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            ports
                .iter()
                .find(|port| port.name.as_ref() == Some(name))
                .with_context(|| format!("no port {name}"))?
                .container_port
        }
    };
    let path = http.path.as_deref().unwrap_or_default().trim_start_matches('/');
    let answer = space.ask_pod(pod, u16::try_from(number)?, path).await?;
    ensure!(answer.contains("\"status\""), "{path}: {answer}");
    Ok(())
}
