//! Tasks pods.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use sqlx::PgPool;
use taskyard_proto::v1::{TaskState, queue_service_client::QueueServiceClient, task_service_client::TaskServiceClient};
use taskyard_runtime::{health::Health, metrics::Metrics};
use taskyard_tasks::Config;
use taskyard_testkit::{Process, Sandbox, Servers, eventually, free_port};
use tokio::{net::TcpListener, runtime::Runtime, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::key::{Calls, KEY, Shown, WORKER_KEY, add_key};

/// A fresh database and fresh names on real servers, with a migrated schema.
pub struct Stack {
    pub sandbox: Sandbox,
    pub pool: PgPool,
    /// Flags that every pod gets.
    pub flags: Vec<String>,
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    config: Config,
}

impl Stack {
    /// On the servers that all tests share.
    pub async fn shared() -> Result<Self> {
        Self::on(Sandbox::shared().await?).await
    }

    /// On servers of its own, to be stopped and wiped.
    pub async fn private() -> Result<(Arc<Servers>, Self)> {
        let servers = Servers::private(&[]).await?;
        let stack = Self::on(Sandbox::new(&servers).await?).await?;
        Ok((servers, stack))
    }

    pub async fn on(sandbox: Sandbox) -> Result<Self> {
        // The log of pods in this process, shown for a test that fails.
        let filter = std::env::var("TASKYARD_TEST_LOG").unwrap_or_else(|_| "info".into());
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        taskyard_tasks::setup::migrate(sandbox.database_url(), Duration::ZERO).await?;
        let pool = PgPool::connect(sandbox.database_url()).await?;
        add_key(&pool).await?;
        Ok(Self { sandbox, pool, flags: Vec::new() })
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "--database-url".to_owned(),
            self.sandbox.database_url().to_owned(),
            "--redis-url".to_owned(),
            self.sandbox.redis_url().to_owned(),
            "--nats-url".to_owned(),
            self.sandbox.nats_url().to_owned(),
            "--prefix".to_owned(),
            self.sandbox.prefix().to_owned(),
            "--worker-key".to_owned(),
            WORKER_KEY.to_owned(),
        ];
        arguments.extend(self.flags.iter().cloned());
        arguments
    }

    /// A pod in this process.
    pub async fn pod(&self) -> Result<Pod> {
        self.pod_with(&[]).await
    }

    /// A pod in this process; later flags win.
    pub async fn pod_with(&self, flags: &[(&str, &str)]) -> Result<Pod> {
        let mut arguments = self.arguments();
        for (flag, value) in flags {
            if let Some(at) = arguments.iter().position(|argument| argument == flag) {
                arguments[at + 1] = (*value).to_owned();
            } else {
                arguments.extend([(*flag).to_owned(), (*value).to_owned()]);
            }
        }
        let command = Command::try_parse_from(std::iter::once("tasks".to_owned()).chain(arguments))?;
        let config = command.config.check()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (health, metrics, stop) = (Health::new(), Metrics::new(), CancellationToken::new());
        // Until it runs it would be ready, as nothing says otherwise.
        health.ready("tasks: postgres", false);
        let run = taskyard_tasks::run(config, listener, health.clone(), metrics.clone(), stop.clone());
        // A runtime of its own, so that it can be killed with everything that it has started.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let running = runtime.spawn(run);
        let pod = Pod { address, health, metrics, stop, running: Some(running), runtime: Some(runtime) };
        tokio::time::timeout(Duration::from_secs(20), pod.health.wait_until_ready())
            .await
            .context("the pod is not ready")?;
        Ok(pod)
    }

    /// A pod as a process of its own, which can be killed and frozen.
    pub async fn process(&self, environment: &[(&str, String)]) -> Result<PodProcess> {
        self.process_at(free_port()?, environment)
    }

    /// The same at a port that another process had before.
    pub fn process_at(&self, port: u16, environment: &[(&str, String)]) -> Result<PodProcess> {
        let ops = free_port()?;
        let mut variables: Vec<(String, String)> = vec![
            ("DATABASE_URL".into(), self.sandbox.database_url().into()),
            ("REDIS_URL".into(), self.sandbox.redis_url().into()),
            ("NATS_URL".into(), self.sandbox.nats_url().into()),
            ("TASKYARD_PREFIX".into(), self.sandbox.prefix().into()),
            ("TASKYARD_WORKER_KEY".into(), WORKER_KEY.into()),
            ("TASKYARD_TASKS_LISTEN".into(), format!("127.0.0.1:{port}")),
            ("TASKYARD_OPS_LISTEN".into(), format!("127.0.0.1:{ops}")),
            ("RUST_LOG".into(), std::env::var("TASKYARD_TEST_LOG").unwrap_or_else(|_| "info".into())),
        ];
        for (name, value) in environment {
            variables.retain(|(known, _)| known != name);
            variables.push(((*name).to_owned(), value.clone()));
        }
        let arguments: Vec<String> = std::iter::once("tasks".to_owned()).chain(self.flags.iter().cloned()).collect();
        let process = Process::taskyard(arguments, variables)?;
        let pod = PodProcess { process, address: SocketAddr::from(([127, 0, 0, 1], port)) };
        Ok(pod)
    }

    /// A worker for the built-in kinds as a process of its own, which has its work from any of these pods.
    pub fn worker_process(&self, urls: &[String], environment: &[(&str, String)]) -> Result<Process> {
        let mut variables: Vec<(&str, String)> = vec![
            ("TASKYARD_TASKS_URL", urls.join(",")),
            ("TASKYARD_WORKER_KEY", WORKER_KEY.to_owned()),
            ("TASKYARD_OPS_LISTEN", format!("127.0.0.1:{}", free_port()?)),
            ("RUST_LOG", std::env::var("TASKYARD_TEST_LOG").unwrap_or_else(|_| "info".into())),
        ];
        variables.extend(environment.iter().cloned());
        Process::taskyard(["worker"], variables)
    }

    /// A pod as a process of its own, ready to serve.
    pub async fn ready_process(&self, environment: &[(&str, String)]) -> Result<PodProcess> {
        let pod = self.process(environment).await?;
        pod.wait_until_ready().await?;
        Ok(pod)
    }

    /// How many tasks stand in a state, by the database.
    pub async fn count(&self, state: TaskState) -> Result<i64> {
        let table = match state {
            TaskState::Completed | TaskState::Dead | TaskState::Canceled => "finished",
            _ => "active",
        };
        let sql = format!("select count(*) from tasks.{table} where state = $1");
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(state as i16).fetch_one(&self.pool).await?)
    }

    /// Waits until so many tasks stand in a state.
    pub async fn wait_for(&self, state: TaskState, count: i64, within: Duration) -> Result<()> {
        let what = format!("{count} tasks {state:?}");
        eventually(within, &what, async || self.count(state).await.ok().filter(|found| *found >= count).map(|_| ()))
            .await
    }

    /// One number from the database.
    pub async fn number(&self, sql: &'static str) -> Result<i64> {
        Ok(sqlx::query_scalar(sql).fetch_one(&self.pool).await?)
    }

    pub async fn close(self) -> Result<()> {
        self.pool.close().await;
        self.sandbox.close().await
    }
}

/// A tasks pod in this process.
pub struct Pod {
    pub address: SocketAddr,
    pub health: Health,
    pub metrics: Metrics,
    pub stop: CancellationToken,
    running: Option<JoinHandle<Result<()>>>,
    runtime: Option<Runtime>,
}

impl Pod {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn tasks(&self) -> Result<TaskServiceClient<Calls>> {
        tasks(self.address).await
    }

    pub async fn queues(&self) -> Result<QueueServiceClient<Calls>> {
        let channel = Channel::from_shared(self.url())?.connect().await?;
        Ok(QueueServiceClient::with_interceptor(channel, Shown(KEY)))
    }

    /// Stops it as SIGTERM would.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        match self.running.take() {
            Some(running) => tokio::time::timeout(Duration::from_secs(30), running).await??,
            None => Ok(()),
        }
    }

    /// Ends it as SIGKILL would: nothing is tidied up, its connections break.
    pub fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Whether it leads, as it says itself.
    pub fn leads(&self) -> bool {
        self.metric("taskyard_leader").is_some_and(|leads| leads > 0.0)
    }

    /// The term in which it leads; 0 if it does not.
    pub fn term(&self) -> u64 {
        self.metric("taskyard_leader_term").map_or(0, |term| term as u64)
    }

    /// The value of a metric, of the first of its series.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = self.metrics.render().ok()?;
        let is_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        text.lines().find(is_it)?.rsplit(' ').next()?.parse().ok()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.stop.cancel();
        let Some(runtime) = self.runtime.take() else { return };
        match self.running.take() {
            // It may end by itself, with all that it has to tidy up; nobody waits for that.
            Some(running) => drop(std::thread::spawn(move || {
                let ended = async { tokio::time::timeout(Duration::from_secs(10), running).await };
                let _ = runtime.block_on(ended);
                runtime.shutdown_background();
            })),
            None => runtime.shutdown_background(),
        }
    }
}

/// A tasks pod as a process of its own.
pub struct PodProcess {
    pub process: Process,
    pub address: SocketAddr,
}

impl PodProcess {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn tasks(&self) -> Result<TaskServiceClient<Calls>> {
        tasks(self.address).await
    }

    /// Waits until it answers calls.
    pub async fn wait_until_ready(&self) -> Result<()> {
        eventually(Duration::from_secs(20), "the pod answers", async || {
            let mut client = self.tasks().await.ok()?;
            client.list_tasks(taskyard_proto::v1::ListTasksRequest::default()).await.ok().map(|_| ())
        })
        .await
        .with_context(|| self.process.output())
    }
}

async fn tasks(address: SocketAddr) -> Result<TaskServiceClient<Calls>> {
    let channel = Channel::from_shared(format!("http://{address}"))?
        .connect_timeout(Duration::from_secs(2))
        .tcp_nodelay(true)
        .connect()
        .await?;
    Ok(TaskServiceClient::with_interceptor(channel, Shown(KEY)).max_decoding_message_size(32 << 20))
}
