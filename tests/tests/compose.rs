//! docker-compose.yml as it is, on a real engine: `DOCKER` is the client's command, TASKYARD_IMAGE an image that the
//! engine has. The servers' images must be there or be pulled.

use std::{
    env,
    process::{Command, Output},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const KEY: &str = "tyk_for-compose-tests-000000000000000000";
/// `exec -e` of it.
const SHOWN: &str = "TASKYARD_TOKEN=tyk_for-compose-tests-000000000000000000";

/// Goes down with its volumes at the end, however the test ends.
struct Project;

impl Project {
    fn docker(arguments: &[&str]) -> Result<String> {
        let docker = env::var("DOCKER").unwrap_or_else(|_| "docker".into());
        let mut words = docker.split_whitespace();
        let output = Command::new(words.next().context("DOCKER is empty")?)
            .args(words)
            .args(arguments)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .env("COMPOSE_PROJECT_NAME", "taskyard-test")
            .env("TASKYARD_ADMIN_PASSWORD", "a-password-for-compose-tests")
            .env("TASKYARD_ADMIN_KEY", KEY)
            .env("TASKYARD_WORKER_KEY", "tys_for-compose-tests-000000000000000000")
            .env("SERVERS_PASSWORD", "a-password-for-compose-tests")
            .output()
            .context("docker cannot be run")?;
        let Output { status, stdout, stderr } = output;
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        ensure!(status.success(), "docker {arguments:?}: {status}\n{stdout}\n{stderr}");
        Ok(stdout.into_owned())
    }

    fn compose(arguments: &[&str]) -> Result<String> {
        Self::docker(&[&["compose"], arguments].concat())
    }

    /// All containers are there, healthy where they say so, and so many of each role.
    fn up(tasks: usize, workers: usize) -> Result<()> {
        let (tasks, workers) = (format!("tasks={tasks}"), format!("worker={workers}"));
        Self::compose(&["up", "--detach", "--wait", "--wait-timeout", "120", "--scale", &tasks, "--scale", &workers])?;
        Ok(())
    }

    fn task() -> Result<()> {
        let payload = r#"{"ms": 100}"#;
        let created = Self::compose(&[
            "exec",
            "-T",
            "-e",
            SHOWN,
            "gateway",
            "/taskyard",
            "task",
            "create",
            "--kind",
            "sleep",
            "--payload",
            payload,
            "--wait",
            "--json",
        ])?;
        ensure!(created.contains("completed"), "{created}");
        Ok(())
    }

    fn containers(service: &str) -> Result<Vec<Value>> {
        let listed = Self::compose(&["ps", "--format", "json", service])?;
        listed.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", Self::compose(&["logs", "--tail", "50"]).unwrap_or_default());
        }
        if let Err(error) = Self::compose(&["down", "--volumes", "--remove-orphans", "--timeout", "40"]) {
            println!("{error:#}");
        }
    }
}

#[tokio::test]
async fn all_of_it_comes_up_scales_and_outlives_its_servers() -> Result<()> {
    let ended = lives().await;
    if ended.is_err() {
        println!("{}", Project::compose(&["logs", "--tail", "50"]).unwrap_or_default());
    }
    ended
}

async fn lives() -> Result<()> {
    let project = Project;
    let begun = Instant::now();
    Project::up(1, 1)?;
    println!("compose: healthy after {:.1} s", begun.elapsed().as_secs_f64());
    Project::task().context("the first task")?;

    Project::up(3, 4)?;
    for (service, count) in [("tasks", 3), ("worker", 4), ("gateway", 1)] {
        let containers = Project::containers(service)?;
        ensure!(containers.len() == count, "{} of {service}, not {count}", containers.len());
        for container in containers {
            ensure!(container["Health"] == "healthy", "{container}");
        }
    }
    Project::task().context("a task on more pods")?;

    for server in ["valkey", "nats", "postgres"] {
        Project::compose(&["restart", "--timeout", "20", server])?;
        // It is accepted as soon as the server answers again, and runs.
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(error) = Project::task() {
            ensure!(Instant::now() < deadline, "after a restart of {server}: {error:#}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    // As the file says: nothing can be written, and nothing may more than it must.
    for service in ["gateway", "tasks", "worker", "postgres", "valkey", "nats"] {
        for container in Project::containers(service)? {
            let id = container["ID"].as_str().context("no id")?;
            let format =
                "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.CapAdd}} {{.Config.User}}";
            let found = Project::docker(&["inspect", "--format", format, id])?;
            ensure!(found.starts_with("true [ALL] []"), "{service}: {found}");
        }
    }
    drop(project);
    let left =
        Project::docker(&["ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project=taskyard-test"])?;
    ensure!(left.trim().is_empty(), "containers are left: {left}");
    Ok(())
}
