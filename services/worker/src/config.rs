//! What the built-in worker is told.

use std::path::PathBuf;

use clap::Args;
use taskyard_core::limits;
use taskyard_runtime::config::{Problems, Secret, WrongConfig, read_secret};

/// A result is the answer as a JSON string, in which a byte can take six, and results are at most 1 MiB.
const HTTP_RESPONSE_BYTES_MAX: usize = 131_072;
const GRACE_PERIOD_S_MAX: u64 = 3_600;

/// The built-in worker: what it serves, and what it may reach.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// The tasks service: one URL, or several with commas between; a name may stand for many pods
    #[arg(
        long,
        env = "TASKYARD_TASKS_URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:50051",
        value_name = "URL"
    )]
    pub tasks_url: Vec<String>,
    /// Its key: that of the installation's workers (tys_…), or one of a single namespace (tyk_…)
    #[arg(long, env = "TASKYARD_WORKER_KEY", hide_env_values = true, value_name = "KEY")]
    pub worker_key: Option<Secret>,
    /// A file that holds it
    #[arg(long, env = "TASKYARD_WORKER_KEY_FILE", value_name = "FILE")]
    pub worker_key_file: Option<PathBuf>,
    /// How many tasks it runs at once
    #[arg(long, env = "TASKYARD_WORKER_SLOTS", default_value_t = 100, value_name = "COUNT")]
    pub slots: u32,
    /// A queue to serve; repeat it for more; every queue if not given
    #[arg(long = "queue", value_name = "QUEUE")]
    pub queues: Vec<String>,
    /// Its name in lists and logs; the host's name if not given
    #[arg(long, env = "TASKYARD_WORKER_NAME", value_name = "NAME")]
    pub worker_name: Option<String>,
    /// How many seconds it may take to stop: running tasks are finished or handed back within it
    #[arg(long, env = "TASKYARD_GRACE_PERIOD_S", default_value_t = 25, value_name = "SECONDS")]
    pub grace_period_s: u64,
    /// Lets `http` tasks reach private addresses: loopback, this network, the cloud's metadata service
    #[arg(long, env = "TASKYARD_HTTP_ALLOW_PRIVATE", value_name = "YES/NO", num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true")]
    pub allow_private_addresses: bool,
    /// How many bytes of an answer an `http` task keeps as its result
    #[arg(long, env = "TASKYARD_HTTP_RESPONSE_BYTES_MAX", default_value_t = 65_536, value_name = "BYTES")]
    pub http_response_bytes_max: usize,
}

/// A configuration without mistakes.
#[derive(Debug)]
pub(crate) struct Checked {
    pub urls: Vec<String>,
    pub key: Option<Secret>,
    pub name: String,
    pub queues: Vec<String>,
    pub slots: u32,
    pub grace_period_s: u64,
    pub allow_private_addresses: bool,
    pub http_response_bytes_max: usize,
}

impl Config {
    /// Names every mistake at once.
    pub(crate) fn check(self) -> Result<Checked, WrongConfig> {
        let mut problems = Problems::default();
        let is_given = self.worker_key.is_some() || self.worker_key_file.is_some();
        let name = "TASKYARD_WORKER_KEY";
        let key = read_secret(name, self.worker_key.as_ref(), self.worker_key_file.as_ref(), &mut problems);
        if !is_given {
            problems.add(format!("{name} is missing; it must be the tasks service's, or a namespace's key (tyk_…)"));
        }
        check_slots("--slots", self.slots, &mut problems);
        check_queues(&self.queues, &mut problems);
        check_grace_period(self.grace_period_s, &mut problems);
        if !(1..=HTTP_RESPONSE_BYTES_MAX).contains(&self.http_response_bytes_max) {
            let given = self.http_response_bytes_max;
            problems.add(format!("--http-response-bytes-max is {given}; it must be 1 to {HTTP_RESPONSE_BYTES_MAX}"));
        }
        problems.finish(Some(Checked {
            urls: self.tasks_url,
            key,
            name: worker_name(self.worker_name),
            queues: self.queues,
            slots: self.slots,
            grace_period_s: self.grace_period_s,
            allow_private_addresses: self.allow_private_addresses,
            http_response_bytes_max: self.http_response_bytes_max,
        }))
    }
}

pub(crate) fn check_slots(flag: &str, slots: u32, problems: &mut Problems) {
    if !(1..=limits::SLOTS_MAX).contains(&slots) {
        problems.add(format!("{flag} is {slots}; it must be 1 to {}", limits::SLOTS_MAX));
    }
}

pub(crate) fn check_queues(queues: &[String], problems: &mut Problems) {
    for queue in queues {
        problems.take(limits::check_name("--queue", queue));
    }
}

pub(crate) fn check_grace_period(grace_period_s: u64, problems: &mut Problems) {
    if grace_period_s > GRACE_PERIOD_S_MAX {
        problems.add(format!("--grace-period-s is {grace_period_s}; it must be at most {GRACE_PERIOD_S_MAX}"));
    }
}

/// The given name, or the host's as Kubernetes sets it.
pub(crate) fn worker_name(given: Option<String>) -> String {
    let host = || std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    given.filter(|name| !name.is_empty()).or_else(host).unwrap_or_else(|| "worker".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches};

    use super::*;

    fn read(arguments: &[&str]) -> Result<Checked, String> {
        let command = Config::augment_args(Command::new("worker").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments).map_err(|error| error.to_string())?;
        let config = Config::from_arg_matches(&matches).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_good() {
        let checked = read(&["--worker-key", "tys_x"]).expect("good");
        assert_eq!(checked.urls, ["http://127.0.0.1:50051"]);
        assert_eq!((checked.slots, checked.grace_period_s, checked.http_response_bytes_max), (100, 25, 65_536));
        assert!(checked.queues.is_empty() && !checked.allow_private_addresses && !checked.name.is_empty());
        let checked =
            read(&["--worker-key", "x", "--queue", "a", "--queue", "b", "--allow-private-addresses"]).expect("good");
        assert_eq!(checked.queues, ["a", "b"]);
        assert!(checked.allow_private_addresses);
    }

    #[test]
    fn every_mistake_is_named() {
        let error = read(&["--slots", "0", "--queue", "a b", "--http-response-bytes-max", "0"]).expect_err("wrong");
        for part in ["4 mistakes", "TASKYARD_WORKER_KEY is missing", "--slots", "--queue", "--http-response-bytes-max"]
        {
            assert!(error.contains(part), "{error}");
        }
    }
}
