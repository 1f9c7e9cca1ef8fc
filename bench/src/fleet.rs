//! Private servers, and our processes on them.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use sqlx::PgPool;
use taskyard_client::{Client, Pods, Token};
use taskyard_devstack::{Devstack, Options};
use tokio::process::{Child, Command};
use uuid::Uuid;

/// The key of workers; on these servers only.
const WORKER_KEY: &str = "tys_of-the-bench-00000000000000000000000000000000";

/// Private servers with a migrated database.
pub struct Servers {
    stack: Devstack,
    dir: PathBuf,
    pub pool: PgPool,
}

impl Servers {
    /// Starts them in a folder of their own, with settings for Postgres.
    pub async fn start(mut settings: Vec<(String, String)>) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("taskyard-bench-{}", Uuid::new_v4().simple()));
        settings.push(("shared_buffers".into(), "512MB".into()));
        settings.push(("shared_preload_libraries".into(), "pg_stat_statements".into()));
        settings.push(("pg_stat_statements.track_planning".into(), "on".into()));
        let options = Options {
            install_dir: Some(PathBuf::from(".taskyard/servers")),
            postgres_settings: settings,
            ..Options::new(&dir)
        };
        let stack = Devstack::start(options, |_| ()).await?;
        let pool = PgPool::connect(stack.postgres_url()).await?;
        Ok(Self { stack, dir, pool })
    }

    /// Processor time of the servers so far: Postgres, NATS.
    pub fn cpu(&self) -> (Duration, Duration) {
        let of = |server: Option<&taskyard_devstack::Server>| {
            server.and_then(taskyard_devstack::Server::pid).map(crate::cost::cpu_of_tree).unwrap_or_default()
        };
        (of(self.stack.postgres()), of(self.stack.nats()))
    }

    /// Variables that point a process of ours here.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("DATABASE_URL", self.stack.postgres_url().to_owned()),
            ("REDIS_URL", self.stack.redis_url().to_owned()),
            ("NATS_URL", self.stack.nats_url().to_owned()),
        ]
    }

    /// Begins to count statements anew.
    pub async fn forget_statements(&self) -> Result<()> {
        sqlx::raw_sql("create extension if not exists pg_stat_statements; select pg_stat_statements_reset()")
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Prints what Postgres spent its time on.
    pub async fn print_statements(&self, tasks: usize) -> Result<()> {
        let rows: Vec<(String, i64, f64, i64, i64)> = sqlx::query_as(
            "select left(regexp_replace(query, '\\s+', ' ', 'g'), 70), calls, total_exec_time + total_plan_time, rows, \
                wal_bytes::bigint \
             from pg_stat_statements order by 3 desc limit 12",
        )
        .fetch_all(&self.pool)
        .await?;
        for (query, calls, ms, rows, wal) in rows {
            println!(
                "    {:>7.1} µs a task  {calls:>7} calls  {:>8.3} ms each  {rows:>8} rows  {:>6} B WAL a task  {query}",
                ms * 1e3 / tasks as f64,
                ms / calls as f64,
                wal / tasks as i64
            );
        }
        Ok(())
    }

    /// Prints the way from the begin of the create's transaction to that of the start's, of what was created lately.
    pub async fn print_segments(&self) -> Result<()> {
        let rows: Vec<(f64, f64)> = sqlx::query_as(
            "select extract(epoch from f.started_at - d.created_at)::float8 * 1e3, \
                extract(epoch from f.finished_at - f.started_at)::float8 * 1e3 \
             from tasks.finished f join tasks.documents d on (d.namespace, d.id) = (f.namespace, f.id) \
             order by f.finished_at desc limit 4000",
        )
        .fetch_all(&self.pool)
        .await?;
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
        };
        println!(
            "    create to start in the database {:.2} ms, start to finish {:.2} ms (medians)",
            median(rows.iter().map(|row| row.0).collect()),
            median(rows.iter().map(|row| row.1).collect())
        );
        Ok(())
    }

    /// Stops them and removes the folder.
    pub async fn stop(self) -> Result<()> {
        self.pool.close().await;
        self.stack.stop().await?;
        // What is left of it is in the system's temporary folder.
        let _ = tokio::fs::remove_dir_all(&self.dir).await;
        Ok(())
    }
}

/// Our processes.
pub struct Fleet {
    pub pods: Vec<OurProcess>,
    pub workers: Vec<OurProcess>,
    urls: String,
    key: String,
}

/// One process of ours.
pub struct OurProcess {
    child: Child,
    pub name: String,
}

impl Fleet {
    /// Starts pods, then workers for the built-in kinds.
    pub async fn start(servers: &Servers, pods: usize, workers: usize) -> Result<Self> {
        let binary = std::env::current_exe()?;
        let mut environment: Vec<(String, String)> =
            servers.environment().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        environment.push(("RUST_LOG".into(), std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".into())));
        run_to_end(&binary, &["migrate"], &environment).await?;
        let key = run_to_end(&binary, &["admin", "create-key", "bench"], &environment).await?.trim().to_owned();
        let mut fleet = Self { pods: Vec::new(), workers: Vec::new(), urls: String::new(), key };
        let mut urls = Vec::new();
        for number in 0..pods {
            let (listen, ops) = (free_address()?, free_address()?);
            let mut environment = environment.clone();
            environment.push(("TASKYARD_TASKS_LISTEN".into(), listen.to_string()));
            environment.push(("TASKYARD_OPS_LISTEN".into(), ops.to_string()));
            environment.push(("TASKYARD_WORKER_KEY".into(), WORKER_KEY.into()));
            fleet.pods.push(OurProcess::start(&binary, "tasks", number, &environment, &servers.dir)?);
            urls.push(format!("http://{listen}"));
        }
        fleet.urls = urls.join(",");
        fleet.wait_until_ready().await?;
        for number in 0..workers {
            let mut environment = environment.clone();
            environment.push(("TASKYARD_TASKS_URL".into(), fleet.urls.clone()));
            environment.push(("TASKYARD_WORKER_KEY".into(), WORKER_KEY.into()));
            environment.push(("TASKYARD_WORKER_SLOTS".into(), "1000".into()));
            environment.push(("TASKYARD_OPS_LISTEN".into(), free_address()?.to_string()));
            fleet.workers.push(OurProcess::start(&binary, "worker", number, &environment, &servers.dir)?);
        }
        // Workers say hello, the leader hears of their slots.
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(fleet)
    }

    /// One more process: a gateway in front of the pods.
    pub async fn gateway(&self, servers: &Servers, environment: &[(&str, &str)]) -> Result<crate::gateway::Gateway> {
        let address = free_address()?;
        let mut variables: Vec<(String, String)> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        variables.extend([
            ("REDIS_URL".to_owned(), servers.stack.redis_url().to_owned()),
            ("TASKYARD_TASKS_URL".to_owned(), self.urls.clone()),
            ("TASKYARD_GATEWAY_LISTEN".to_owned(), address.to_string()),
            ("TASKYARD_OPS_LISTEN".to_owned(), free_address()?.to_string()),
            ("RUST_LOG".to_owned(), "warn".to_owned()),
        ]);
        let process =
            OurProcess::start(&std::env::current_exe()?, "gateway", address.port().into(), &variables, &servers.dir)?;
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Ok((address, process));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the gateway does not answer")
    }

    /// Connections to the pods.
    pub fn pods(&self) -> Result<Pods> {
        Ok(Pods::connect(self.urls.split(','), Token::bearer(&self.key)?)?)
    }

    /// What calls show.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The pods' URLs.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.urls.split(',')
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let client = Client::new(self.pods()?);
        for _ in 0..200 {
            if client.list_queues(taskyard_proto::v1::ListQueuesRequest::default()).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the pods do not answer")
    }

    /// Processor time so far: pods, workers.
    pub fn cpu(&self) -> (Duration, Duration) {
        let sum = |processes: &[OurProcess]| {
            processes.iter().filter_map(|process| process.child.id()).map(crate::cost::cpu_of).sum()
        };
        (sum(&self.pods), sum(&self.workers))
    }

    /// Stops the workers, then the pods.
    pub async fn stop(self) -> Result<()> {
        for mut process in self.workers.into_iter().chain(self.pods) {
            process.stop().await?;
        }
        Ok(())
    }
}

impl OurProcess {
    fn start(
        binary: &std::path::Path,
        role: &str,
        number: usize,
        environment: &[(String, String)],
        dir: &std::path::Path,
    ) -> Result<Self> {
        let name = format!("{role}-{number}");
        let log = File::options().create(true).append(true).open(dir.join(format!("{name}.log")))?;
        let child = Command::new(binary)
            .arg(role)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        Ok(Self { child, name })
    }

    pub async fn stop(&mut self) -> Result<()> {
        if let Some(pid) = self.child.id() {
            Command::new("kill").arg(pid.to_string()).status().await?;
        }
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        let status = ended.with_context(|| format!("{} does not stop", self.name))??;
        if !status.success() {
            eprintln!("{} ended with {status}", self.name);
        }
        Ok(())
    }
}

async fn run_to_end(binary: &std::path::Path, arguments: &[&str], environment: &[(String, String)]) -> Result<String> {
    let output = Command::new(binary)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .await?;
    if !output.status.success() {
        bail!("`{}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A loopback address whose port is free at this moment.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
