//! Where the servers behind us are.

use std::path::PathBuf;

use clap::Args;

use super::{Problems, Secret, read_secret};

/// Where Postgres is, checked.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// `postgres://…`, with user and password.
    pub url: Secret,
    /// Connections of this process.
    pub pool_size: u32,
}

/// Where Postgres is.
#[derive(Args, Clone, Debug)]
pub struct PostgresArgs {
    /// PostgreSQL: postgres://user:password@host:5432/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<Secret>,
    /// A file that holds the URL
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,
    /// Database connections of this process
    #[arg(long, env = "TASKYARD_DATABASE_POOL_SIZE", default_value_t = 10, value_name = "COUNT")]
    pub database_pool_size: u32,
}

impl PostgresArgs {
    /// What is given, checked; `None` if nothing is given or it is wrong.
    pub fn check(&self, problems: &mut Problems) -> Option<Postgres> {
        if !(2..=1_000).contains(&self.database_pool_size) {
            problems.add(format!("--database-pool-size is {}; it must be 2 to 1000", self.database_pool_size));
        }
        let name = "DATABASE_URL";
        let url = read_secret(name, self.database_url.as_ref(), self.database_url_file.as_ref(), problems)?;
        let url = url_with(name, url, &["postgres", "postgresql"], problems)?;
        Some(Postgres { url, pool_size: self.database_pool_size })
    }

    /// As [`check`](Self::check), where it must be given.
    pub fn require(&self, problems: &mut Problems) -> Option<Postgres> {
        require("DATABASE_URL", "postgres://user:password@host:5432/database", self.check(problems), problems)
    }
}

/// Where Redis is.
#[derive(Args, Clone, Debug)]
pub struct RedisArgs {
    /// Redis or Valkey: redis://user:password@host:6379
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub redis_url: Option<Secret>,
    /// A file that holds the URL
    #[arg(long, env = "REDIS_URL_FILE", value_name = "FILE")]
    pub redis_url_file: Option<PathBuf>,
}

impl RedisArgs {
    /// What is given, checked; `None` if nothing is given or it is wrong.
    pub fn check(&self, problems: &mut Problems) -> Option<Secret> {
        let name = "REDIS_URL";
        let url = read_secret(name, self.redis_url.as_ref(), self.redis_url_file.as_ref(), problems)?;
        url_with(name, url, &["redis", "rediss", "valkey", "valkeys"], problems)
    }

    /// As [`check`](Self::check), where it must be given.
    pub fn require(&self, problems: &mut Problems) -> Option<Secret> {
        require("REDIS_URL", "redis://host:6379", self.check(problems), problems)
    }
}

/// Where NATS is.
#[derive(Args, Clone, Debug)]
pub struct NatsArgs {
    /// NATS with JetStream: nats://user:password@host:4222; several with commas between
    #[arg(long, env = "NATS_URL", hide_env_values = true, value_name = "URL")]
    pub nats_url: Option<Secret>,
    /// A file that holds the URL
    #[arg(long, env = "NATS_URL_FILE", value_name = "FILE")]
    pub nats_url_file: Option<PathBuf>,
}

impl NatsArgs {
    /// What is given, checked; `None` if nothing is given or it is wrong.
    pub fn check(&self, problems: &mut Problems) -> Option<Secret> {
        let name = "NATS_URL";
        let url = read_secret(name, self.nats_url.as_ref(), self.nats_url_file.as_ref(), problems)?;
        url_with(name, url, &["nats", "tls"], problems)
    }

    /// As [`check`](Self::check), where it must be given.
    pub fn require(&self, problems: &mut Problems) -> Option<Secret> {
        require("NATS_URL", "nats://host:4222", self.check(problems), problems)
    }
}

/// Says that a value is missing, unless something was wrong with it, which has been said.
fn require<T>(name: &str, example: &str, checked: Option<T>, problems: &mut Problems) -> Option<T> {
    if checked.is_none() && !problems.mentions(name) {
        problems.add(format!("{name} is missing; set it, or {name}_FILE (example: {example})"));
    }
    checked
}

/// Checks the scheme of one URL or several; the rest is the driver's to judge. The URL itself is not shown.
fn url_with(name: &str, url: Secret, schemes: &[&str], problems: &mut Problems) -> Option<Secret> {
    let good = |url: &str| {
        url.trim().split_once("://").is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty())
    };
    if url.expose().split(',').all(good) {
        return Some(url);
    }
    let schemes: Vec<_> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
    problems.add(format!("{name} must begin with {} and name a host", schemes.join(" or ")));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_and_never_shown() {
        let mut problems = Problems::default();
        let wrong = PostgresArgs {
            database_url: Some("mysql://user:hunter2@host".into()),
            database_url_file: None,
            database_pool_size: 1,
        };
        assert!(wrong.require(&mut problems).is_none());
        assert!(RedisArgs { redis_url: None, redis_url_file: None }.require(&mut problems).is_none());
        let nats = NatsArgs { nats_url: Some("nats://a:4222,nats://b:4222".into()), nats_url_file: None };
        assert!(nats.require(&mut problems).is_some());
        let text = problems.finish(Some(())).unwrap_err().to_string();
        assert!(text.starts_with("the configuration has 3 mistakes"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
