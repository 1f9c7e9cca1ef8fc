//! What the tasks service can be told.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use taskyard_runtime::{
    config::{NatsArgs, Postgres, PostgresArgs, Problems, RedisArgs, Secret, TokenArgs, WrongConfig},
    token::{SharedToken, guard_listen},
};

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
    /// What callers must show.
    #[command(flatten)]
    pub token: TokenArgs,
    /// The rest.
    #[command(flatten)]
    pub settings: Settings,
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
    /// What callers must show.
    pub token: SharedToken,
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
        let token = self.token.check(&mut problems);
        self.settings.check(&token, &mut problems);
        let checked = postgres.zip(redis_url).zip(nats_url).map(|((postgres, redis_url), nats_url)| Checked {
            postgres,
            redis_url,
            nats_url,
            token,
            settings: self.settings,
        });
        problems.finish(checked)
    }
}

impl Settings {
    fn check(&self, token: &SharedToken, problems: &mut Problems) {
        problems.take(guard_listen(self.listen, token));
        let is_name = |text: &str| {
            !text.is_empty()
                && text.len() <= 32
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if !is_name(&self.prefix) {
            problems.add("TASKYARD_PREFIX must have 1 to 32 lower-case letters, digits or `_`");
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

    /// How long a worker may give no sign of life.
    #[must_use]
    pub const fn session_timeout(&self) -> Duration {
        Duration::from_secs(self.session_timeout_s)
    }
}
