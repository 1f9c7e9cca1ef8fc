//! The three servers together.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Error, Result};

use crate::account::Account;
use crate::guard::{self, Stop};
use crate::home::Home;
use crate::install;
use crate::options::Options;
use crate::place;
use crate::port;
use crate::process;
use crate::secrets::Access;
use crate::server::{Plan, Server, nats, postgres, valkey};

/// How often somebody may take a port between our choice and our use of it.
const PORT_TRIES: u32 = 5;

/// How often [`Devstack::unexpected_end`] looks at the servers.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// PostgreSQL, Redis and NATS, private or given. Dropping it stops the private ones soon after; [`stop`](Self::stop)
/// also waits for that.
#[derive(Debug)]
pub struct Devstack {
    postgres: Source,
    redis: Source,
    nats: Source,
    /// Last, so that the folder is ours until the servers were told to stop. None when no server is ours.
    home: Option<Home>,
}

#[derive(Debug)]
enum Source {
    Given(String),
    Private(Box<Server>),
}

impl Devstack {
    /// Installs what is missing, starts the private servers that no url replaces, and waits until all of them answer.
    /// `on_step` is told, in words for people, what may take a while.
    ///
    /// # Errors
    /// When another process has the folder, the servers cannot be installed, or one does not come up. Each error says
    /// what to do about it, and then nothing is left running.
    pub async fn start(options: Options, on_step: impl Fn(&str)) -> Result<Self> {
        let Options { dir, install_dir, postgres_url, redis_url, nats_url, postgres_settings, postgres_environment } =
            options;
        let (postgres_url, redis_url, nats_url) = match (postgres_url, redis_url, nats_url) {
            (Some(postgres), Some(redis), Some(nats)) => {
                let [postgres, redis, nats] = [postgres, redis, nats].map(Source::Given);
                return Ok(Self { postgres, redis, nats, home: None });
            }
            urls => urls,
        };
        let account = if postgres_url.is_none() { Account::for_postgres().await } else { None };
        let home = Home::open(place::reachable(&dir, account, &on_step).await?)?;
        let install_dir = install_dir.unwrap_or_else(|| home.dir().join("servers"));
        let programs = install::install(&place::reachable(&install_dir, account, &on_step).await?, &on_step).await?;

        on_step("Starting the private servers");
        let mut secrets = home.secrets()?;
        let (postgres, redis, nats) = tokio::join!(
            Source::new(postgres_url, &home, &mut secrets.postgres, async |access| {
                let mut plan = postgres::plan(&home, &programs, access, account, &postgres_settings, &on_step).await?;
                plan.charge.environment.clone_from(&postgres_environment);
                Ok(plan)
            }),
            Source::new(redis_url, &home, &mut secrets.valkey, async |access| valkey::plan(&home, &programs, access)),
            Source::new(nats_url, &home, &mut secrets.nats, async |access| nats::plan(&home, &programs, access)),
        );
        let saved = home.save(&secrets);
        match (postgres, redis, nats, saved) {
            (Ok(postgres), Ok(redis), Ok(nats), Ok(())) => Ok(Self { postgres, redis, nats, home: Some(home) }),
            (postgres, redis, nats, saved) => {
                let mut first_error = saved.err();
                for source in [postgres, redis, nats] {
                    match source {
                        Ok(source) => source.stop().await?,
                        Err(error) => first_error = first_error.or(Some(error)),
                    }
                }
                Err(first_error.unwrap_or_else(|| Error::msg("the private servers did not start")))
            }
        }
    }

    /// Where PostgreSQL is, with user, password and database. Ours has the database `taskyard`, of which its user is
    /// the superuser.
    pub fn postgres_url(&self) -> &str {
        self.postgres.url()
    }

    /// Where Redis is, with user and password.
    pub fn redis_url(&self) -> &str {
        self.redis.url()
    }

    /// Where NATS is, with user and password.
    pub fn nats_url(&self) -> &str {
        self.nats.url()
    }

    /// Our PostgreSQL; none when a url was given.
    pub fn postgres(&self) -> Option<&Server> {
        self.postgres.server()
    }

    /// Our Valkey; none when a url was given.
    pub fn redis(&self) -> Option<&Server> {
        self.redis.server()
    }

    /// Our NATS; none when a url was given.
    pub fn nats(&self) -> Option<&Server> {
        self.nats.server()
    }

    /// The folder that is really used, which is not the one asked for when the account that runs PostgreSQL cannot get
    /// there; none when no server is ours.
    pub fn dir(&self) -> Option<&Path> {
        self.home.as_ref().map(Home::dir)
    }

    /// Waits until a private server ends that nobody stopped, and tells which. Whoever needs the servers must not go
    /// on then.
    pub async fn unexpected_end(&self) -> Error {
        loop {
            if let Some(end) = self.servers().find_map(Server::unexpected_end) {
                return Error::msg(end);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Stops the private servers cleanly and waits until they are gone. The data stay.
    ///
    /// # Errors
    /// When one does not even end when it is killed.
    pub async fn stop(self) -> Result<()> {
        let (postgres, redis, nats) = tokio::join!(self.postgres.stop(), self.redis.stop(), self.nats.stop());
        postgres.and(redis).and(nats)
    }

    fn servers(&self) -> impl Iterator<Item = &Server> {
        [&self.postgres, &self.redis, &self.nats].into_iter().filter_map(Source::server)
    }
}

/// Removes the folder of a stack whose process was killed, unless a process uses it; whether it did. Servers that were
/// left behind are stopped before.
///
/// # Errors
/// When one of these does not end, or the folder cannot be removed.
pub async fn remove_abandoned(dir: &Path) -> Result<bool> {
    let Ok(home) = dir.canonicalize().map_err(Error::from).and_then(Home::open) else { return Ok(false) };
    for (server, stop) in [("postgres", Stop::Interrupt), ("valkey", Stop::Terminate), ("nats", Stop::Terminate)] {
        let noted = fs::read_to_string(home.pid_file(server)).ok().and_then(|text| text.trim().parse().ok());
        let Some(pid) = noted.filter(|pid| process::is_alive(*pid)) else { continue };
        if process::command_line(pid).is_some_and(|line| line.contains(&*home.dir().to_string_lossy())) {
            guard::stop_leftover(pid, stop.signal()).await?;
        }
    }
    fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    Ok(true)
}

impl Source {
    async fn new(
        url: Option<String>,
        home: &Home,
        access: &mut Access,
        plan: impl AsyncFn(&Access) -> Result<Plan>,
    ) -> Result<Self> {
        match url {
            Some(url) => Ok(Self::Given(url)),
            None => Ok(Self::Private(Box::new(start_on_free_port(home, access, plan).await?))),
        }
    }

    fn url(&self) -> &str {
        match self {
            Self::Given(url) => url,
            Self::Private(server) => server.url(),
        }
    }

    fn server(&self) -> Option<&Server> {
        match self {
            Self::Given(_) => None,
            Self::Private(server) => Some(server),
        }
    }

    async fn stop(&self) -> Result<()> {
        match self {
            Self::Given(_) => Ok(()),
            Self::Private(server) => server.stop().await,
        }
    }
}

/// Starts a server on the port that the folder remembers, or on another when that is taken.
async fn start_on_free_port(
    home: &Home,
    access: &mut Access,
    plan: impl AsyncFn(&Access) -> Result<Plan>,
) -> Result<Server> {
    // Before the port is looked at: a leftover of ours would hold it.
    Server::new(plan(access).await?, home).stop_leftover().await?;
    let mut tries_left = PORT_TRIES;
    loop {
        if access.port == 0 || !port::is_free(access.port) {
            access.port = port::free_port()?;
        }
        let server = Server::new(plan(access).await?, home);
        tries_left -= 1;
        match server.start().await {
            Ok(()) => return Ok(server),
            // Somebody took it just now.
            Err(_) if tries_left > 0 && !port::is_free(access.port) => {}
            Err(error) => return Err(error),
        }
    }
}
