//! What the tasks service can be told.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use taskyard_core::identity::Service;
use taskyard_runtime::config::{
    NatsArgs, Postgres, PostgresArgs, Problems, RedisArgs, Secret, WrongConfig, read_secret,
};

use crate::identity::Kind;
pub use crate::identity::TrustedIssuer;
use crate::store::administration::Quota;

/// Flags and environment variables of the tasks service.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// The database.
    #[command(flatten)]
    pub postgres: PostgresArgs,
    /// The lock's server.
    #[command(flatten)]
    pub redis: RedisArgs,
    /// The server of streams and wakes.
    #[command(flatten)]
    pub nats: NatsArgs,
    /// The keys of our own services.
    #[command(flatten)]
    pub services: ServiceKeys,
    /// The rest.
    #[command(flatten)]
    pub settings: Settings,
}

/// The keys by which our own services are known. Each is `tys_` and at least 32 random characters.
#[derive(Args, Clone, Debug, Default)]
pub struct ServiceKeys {
    /// The key of workers for the built-in kinds of every namespace; several with commas between, while it is changed
    #[arg(long, env = "TASKYARD_WORKER_KEY", hide_env_values = true, value_name = "KEY")]
    pub worker_key: Option<Secret>,
    /// A file that holds it
    #[arg(long, env = "TASKYARD_WORKER_KEY_FILE", value_name = "FILE")]
    pub worker_key_file: Option<PathBuf>,
    /// The key of the operator; several with commas between, while it is changed
    #[arg(long, env = "TASKYARD_OPERATOR_KEY", hide_env_values = true, value_name = "KEY")]
    pub operator_key: Option<Secret>,
    /// A file that holds it
    #[arg(long, env = "TASKYARD_OPERATOR_KEY_FILE", value_name = "FILE")]
    pub operator_key_file: Option<PathBuf>,
}

/// The shortest key of a service: its first letters, and 32 more.
const SERVICE_KEY_BYTES_MIN: usize = 36;

impl ServiceKeys {
    fn check(&self, problems: &mut Problems) -> Vec<(Service, Secret)> {
        let mut keys = Vec::new();
        for (service, name, value, file) in [
            (Service::Worker, "TASKYARD_WORKER_KEY", &self.worker_key, &self.worker_key_file),
            (Service::Operator, "TASKYARD_OPERATOR_KEY", &self.operator_key, &self.operator_key_file),
        ] {
            let Some(given) = read_secret(name, value.as_ref(), file.as_ref(), problems) else { continue };
            for key in given.expose().split(',').map(str::trim) {
                if !key.starts_with(Kind::Service.prefix()) || key.len() < SERVICE_KEY_BYTES_MIN {
                    problems.add(format!(
                        "{name} must be `tys_` and at least 32 random characters, such as `echo tys_$(openssl rand \
                         -hex 32)` makes"
                    ));
                } else if keys
                    .iter()
                    .any(|(other, known): &(Service, Secret)| *other != service && known.expose() == key)
                {
                    problems.add(format!("{name} holds the key of another service; each service needs its own"));
                } else {
                    keys.push((service, key.into()));
                }
            }
        }
        keys
    }
}

/// Who can make themselves a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Registration {
    /// Everybody.
    Open,
    /// Nobody: administrators make users.
    Closed,
}

impl Registration {
    /// Whether everybody can.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open)
    }
}

/// Flags and environment variables of the tasks service alone.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Where gRPC is served
    #[arg(
        long = "tasks-listen",
        env = "TASKYARD_TASKS_LISTEN",
        default_value = "127.0.0.1:50051",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,

    /// What all names in NATS and Redis begin with; one for each installation that shares them
    #[arg(long, env = "TASKYARD_PREFIX", default_value = "taskyard", value_name = "NAME")]
    pub prefix: String,

    /// Who can register: everybody, or nobody
    #[arg(long, env = "TASKYARD_REGISTRATION", default_value = "open", value_name = "WHO")]
    pub registration: Registration,

    /// What access tokens name as their issuer; one for each installation
    #[arg(long, env = "TASKYARD_ISSUER", default_value = "taskyard", value_name = "NAME")]
    pub issuer: String,

    /// OpenID Connect issuers whose users may sign in by an id token, each with our client id there; several with commas
    /// between
    #[arg(long = "oidc-issuer", env = "TASKYARD_OIDC_ISSUERS", value_delimiter = ',', value_name = "URL=CLIENT_ID")]
    pub oidc_issuers: Vec<TrustedIssuer>,

    /// How many waiting and running tasks a namespace may have, unless an administrator sets another number; 0: no limit
    #[arg(long, env = "TASKYARD_ACTIVE_TASKS_MAX", default_value_t = 5_000_000, value_name = "NUMBER")]
    pub active_tasks_max: u32,

    /// How many megabytes of payload these may have together; 0: no limit
    #[arg(long, env = "TASKYARD_PAYLOAD_MB_MAX", default_value_t = 51_200, value_name = "MB")]
    pub payload_mb_max: u32,

    /// How long a worker may give no sign of life before its runs go to others, in seconds (5 to 300)
    #[arg(long, env = "TASKYARD_SESSION_TIMEOUT_S", default_value_t = 10, value_name = "SECONDS")]
    pub session_timeout_s: u64,

    /// How long finished tasks and events are kept, in days (15 to 3650); dropped a week at a time
    #[arg(long, env = "TASKYARD_RETENTION_DAYS", default_value_t = 30, value_name = "DAYS")]
    pub retention_days: u32,

    /// How long dead tasks are kept, in days
    #[arg(long, env = "TASKYARD_DEAD_RETENTION_DAYS", default_value_t = 90, value_name = "DAYS")]
    pub dead_retention_days: u32,

    /// How long the stream of relayed events keeps them, in hours
    #[arg(long, env = "TASKYARD_EVENTS_STREAM_HOURS", default_value_t = 24, value_name = "HOURS")]
    pub events_stream_hours: u64,

    /// How many megabytes the stream of relayed events keeps
    #[arg(long, env = "TASKYARD_EVENTS_STREAM_MB", default_value_t = 512, value_name = "MB")]
    pub events_stream_mb: u32,

    /// How long a stop may take, in seconds
    #[arg(
        long = "tasks-grace-period-s",
        env = "TASKYARD_TASKS_GRACE_PERIOD_S",
        default_value_t = 20,
        value_name = "SECONDS"
    )]
    pub grace_period_s: u64,
}

/// The configuration, checked.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The database.
    pub postgres: Postgres,
    /// The lock's server.
    pub redis_url: Secret,
    /// The server of streams and wakes.
    pub nats_url: Secret,
    /// The keys of our own services.
    pub services: Vec<(Service, Secret)>,
    /// The rest.
    pub settings: Settings,
}

impl Config {
    /// Checks everything and names every mistake at once.
    ///
    /// # Errors
    /// If something is missing or wrong.
    pub fn check(self) -> Result<Checked, WrongConfig> {
        let mut problems = Problems::default();
        let postgres = self.postgres.require(&mut problems);
        let redis_url = self.redis.require(&mut problems);
        let nats_url = self.nats.require(&mut problems);
        let services = self.services.check(&mut problems);
        self.settings.check(&mut problems);
        let checked = postgres.zip(redis_url).zip(nats_url).map(|((postgres, redis_url), nats_url)| Checked {
            postgres,
            redis_url,
            nats_url,
            services,
            settings: self.settings,
        });
        problems.finish(checked)
    }
}

impl Settings {
    fn check(&self, problems: &mut Problems) {
        let is_name = |text: &str| {
            !text.is_empty()
                && text.len() <= 32
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if !is_name(&self.prefix) {
            problems.add("TASKYARD_PREFIX must have 1 to 32 lower-case letters, digits or `_`");
        }
        if self.issuer.is_empty() {
            problems.add("TASKYARD_ISSUER is empty; it must name this installation, such as its URL");
        }
        if !(5..=300).contains(&self.session_timeout_s) {
            problems.add("TASKYARD_SESSION_TIMEOUT_S must be 5 to 300");
        }
        if !(15..=3650).contains(&self.retention_days) {
            problems.add("TASKYARD_RETENTION_DAYS must be 15 to 3650");
        }
        if self.dead_retention_days < self.retention_days {
            problems.add("TASKYARD_DEAD_RETENTION_DAYS must not be less than TASKYARD_RETENTION_DAYS");
        }
    }

    /// What a namespace may have that has no quota of its own.
    pub(crate) fn quota(&self) -> Quota {
        let given = |number: u32| (number > 0).then_some(i64::from(number));
        Quota {
            active_tasks_max: given(self.active_tasks_max),
            payload_bytes_max: given(self.payload_mb_max).map(|mb| mb * 1_048_576),
            queues_max: None,
        }
    }

    /// How long a worker may give no sign of life.
    #[must_use]
    pub const fn session_timeout(&self) -> Duration {
        Duration::from_secs(self.session_timeout_s)
    }
}
