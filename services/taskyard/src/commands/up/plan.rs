//! What will run, checked before anything starts.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use taskyard_core::identity::Service;
use taskyard_devstack::{Devstack, Options};
use taskyard_gateway::{GatewayArgs, RedisAt};
use taskyard_runtime::{
    config::{NatsArgs, PostgresArgs, Problems, RedisArgs, Secret},
    health::Health,
    metrics::Metrics,
};
use taskyard_tasks::setup;
use tokio::net::TcpListener;

use super::{Addresses, Args, Part, Ports};
use crate::{commands::listen, exit::Usage};

/// Stands for a server of ours that does not run yet, where a configuration wants a URL.
const POSTGRES_TO_COME: &str = "postgres://to-come";
const REDIS_TO_COME: &str = "redis://to-come";
const NATS_TO_COME: &str = "nats://to-come";

/// Streams of workers and watches have nowhere to go, and a person waits for the end.
const GATEWAY_DRAIN: Duration = Duration::from_secs(2);
/// The worker's share: slots enough for a desk.
const WORKER_SLOTS: u32 = 100;
const WORKER_GRACE_PERIOD_S: u64 = 3;
const WORKER_RESPONSE_BYTES_MAX: usize = 65_536;

/// What will run.
#[derive(Debug)]
pub struct Plan {
    tasks: taskyard_tasks::Checked,
    gateway: taskyard_gateway::Config,
    worker_key: Secret,
    wanted: Addresses,
    allow_private_addresses: bool,
    servers: Options,
}

impl Plan {
    /// Checks everything but the ports, and names every mistake.
    pub fn check(args: Args) -> Result<Self> {
        let Args {
            dir,
            programs_dir,
            listen,
            hosts,
            browser,
            rates,
            cache,
            allow_private_addresses,
            mut tasks,
            ops,
            log: _,
        } = args;
        let mut problems = Problems::default();
        let servers = servers(dir, programs_dir, &mut tasks, &mut problems);
        let wanted = Addresses { gateway: listen, tasks: tasks.settings.listen, ops: ops.ops_listen };
        // The tasks service's real address takes the place of this one.
        let gateway = GatewayArgs { listen, tasks_urls: vec![url_of(wanted.tasks)], hosts, browser, rates, cache };
        let gateway = gateway.check(None, &mut problems);
        // Of this process only, so that it is new each time; workers elsewhere have theirs beside it.
        let worker_key = Secret::from(setup::make_service_key()?);
        match (tasks.check(), problems.finish(gateway)) {
            (Ok(mut tasks), Ok(gateway)) => {
                tasks.services.push((Service::Worker, worker_key.clone()));
                Ok(Self { tasks, gateway, worker_key, wanted, allow_private_addresses, servers })
            }
            (Err(first), Err(second)) => Err(Usage::error(format!("{first}\n{second}"))),
            (Err(wrong), Ok(_)) | (Ok(_), Err(wrong)) => Err(wrong.into()),
        }
    }

    /// Binds all ports.
    pub async fn bind(&self) -> Result<Ports> {
        Ports::bind(self.wanted).await
    }

    /// The private servers that are needed.
    pub fn servers(&self) -> Options {
        self.servers.clone()
    }

    /// Starts the services. They are in the order in which they have to stop: nothing new comes in, then nothing new
    /// is begun, then what was done is written down.
    pub async fn start(
        self,
        stack: &Devstack,
        addresses: Addresses,
        gateway: TcpListener,
        tasks: TcpListener,
        health: &Health,
        metrics: &Metrics,
    ) -> Vec<Part> {
        let tasks_url = url_of(listen::reachable(addresses.tasks));
        let mut tasks_config = self.tasks;
        tasks_config.postgres.url = stack.postgres_url().into();
        tasks_config.redis_url = stack.redis_url().into();
        tasks_config.nats_url = stack.nats_url().into();
        let mut gateway_config = taskyard_gateway::Config { tasks_urls: vec![tasks_url.clone()], ..self.gateway };
        gateway_config.http.drain = GATEWAY_DRAIN;
        let prefix = tasks_config.settings.prefix.clone();
        gateway_config.redis = Some(RedisAt { url: stack.redis_url().into(), prefix });
        let worker_config = taskyard_worker::Config {
            tasks_url: vec![tasks_url],
            worker_key: Some(self.worker_key),
            worker_key_file: None,
            slots: WORKER_SLOTS,
            queues: Vec::new(),
            worker_name: Some("built-in".to_owned()),
            grace_period_s: WORKER_GRACE_PERIOD_S,
            allow_private_addresses: self.allow_private_addresses,
            http_response_bytes_max: WORKER_RESPONSE_BYTES_MAX,
        };
        vec![
            Part::start("gateway", |stop| {
                taskyard_gateway::run(gateway_config, gateway, health.clone(), metrics.clone(), stop)
            })
            .await,
            Part::start("worker", |stop| taskyard_worker::run(worker_config, health.clone(), stop)).await,
            Part::start("tasks service", |stop| {
                taskyard_tasks::run(tasks_config, tasks, health.clone(), metrics.clone(), stop)
            })
            .await,
        ]
    }
}

/// Takes out the URLs that are given: the servers behind them replace private ones. `tasks` keeps placeholders.
fn servers(
    dir: PathBuf,
    programs_dir: Option<PathBuf>,
    tasks: &mut taskyard_tasks::Config,
    problems: &mut Problems,
) -> Options {
    let text = |url: Secret| url.expose().to_owned();
    let options = Options {
        install_dir: programs_dir,
        postgres_url: tasks.postgres.check(problems).map(|postgres| text(postgres.url)),
        redis_url: tasks.redis.check(problems).map(text),
        nats_url: tasks.nats.check(problems).map(text),
        ..Options::new(dir)
    };
    tasks.postgres = PostgresArgs {
        database_url: Some(POSTGRES_TO_COME.into()),
        database_url_file: None,
        // A wrong size is told by the check above.
        database_pool_size: tasks.postgres.database_pool_size.clamp(2, 1_000),
    };
    tasks.redis = RedisArgs { redis_url: Some(REDIS_TO_COME.into()), redis_url_file: None };
    tasks.nats = NatsArgs { nats_url: Some(NATS_TO_COME.into()), nats_url_file: None };
    options
}

fn url_of(address: std::net::SocketAddr) -> String {
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;
    use crate::cli::{self, Cli, Command};

    fn check(flags: &[&str]) -> Result<Plan> {
        // Where the tests themselves are run with servers, these are not to be taken.
        let none = ["--database-url", "", "--redis-url", "", "--nats-url", ""];
        let line = ["taskyard", "up"].iter().chain(flags).chain(&none).copied();
        let matches = cli::command().args_override_self(true).try_get_matches_from(line)?;
        match Cli::from_arg_matches(&matches)?.command {
            Command::Up(args) => Plan::check(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_mistake_is_named() {
        let wrong =
            ["--listen", "0.0.0.0:80", "--retention-days", "1", "--database-pool-size", "0", "--host", "http://x"];
        let error = check(&wrong).unwrap_err();
        assert!(error.is::<Usage>());
        for part in ["RETENTION_DAYS", "--database-pool-size", "`http://x`"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_server_that_is_given_replaces_a_private_one() {
        let plan = check(&[]).unwrap();
        assert_eq!((plan.servers.postgres_url, plan.servers.nats_url), (None, None));
        let path = std::env::temp_dir().join(format!("taskyard-plan-{}", std::process::id()));
        std::fs::write(&path, "nats://a:4222").unwrap();
        let plan = check(&["--nats-url-file", &path.to_string_lossy()]).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!((plan.servers.postgres_url, plan.servers.nats_url), (None, Some("nats://a:4222".into())));
        assert!(check(&["--worker-key", "short"]).is_err());
    }
}
