//! What a worker is: its name, what it serves, how much it takes.

use std::time::Duration;

use taskyard_core::{Error, Result, limits};
use uuid::Uuid;

use super::Worker;
use crate::Pods;

const NAME_BYTES_MAX: usize = 256;
const SLOTS_DEFAULT: u32 = 10;
const GRACE_PERIOD_DEFAULT: Duration = Duration::from_secs(25);
const STOP_GRACE_DEFAULT: Duration = Duration::from_secs(3);

/// What a worker is.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub name: String,
    pub queues: Vec<String>,
    pub kinds: Vec<String>,
    pub slots: u32,
    pub bytes: u64,
    pub grace_period: Duration,
    pub stop_grace: Duration,
}

/// Says what a worker is; from [`Worker::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct WorkerBuilder {
    pods: Pods,
    config: Config,
}

impl WorkerBuilder {
    pub(super) const fn new(pods: Pods) -> Self {
        let config = Config {
            name: String::new(),
            queues: Vec::new(),
            kinds: Vec::new(),
            slots: SLOTS_DEFAULT,
            bytes: limits::WORKER_BYTES_DEFAULT,
            grace_period: GRACE_PERIOD_DEFAULT,
            stop_grace: STOP_GRACE_DEFAULT,
        };
        Self { pods, config }
    }

    /// A name for people: shown in lists and logs.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// The queues to serve; every queue if none is given.
    pub fn queues<I>(mut self, queues: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.config.queues = queues.into_iter().map(Into::into).collect();
        self
    }

    /// The kinds that the handler knows how to run; at least one.
    pub fn kinds<I>(mut self, kinds: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.config.kinds = kinds.into_iter().map(Into::into).collect();
        self
    }

    /// How many runs it holds at most; 10 if not said.
    pub const fn slots(mut self, slots: u32) -> Self {
        self.config.slots = slots;
        self
    }

    /// How many bytes of payload it holds at most; 64 MiB if not said. A worker that holds nothing gets a payload of
    /// any size.
    pub const fn bytes(mut self, bytes: u64) -> Self {
        self.config.bytes = bytes;
        self
    }

    /// How long [`Worker::run`] may take after its shutdown; 25 s if not said.
    pub const fn grace_period(mut self, grace_period: Duration) -> Self {
        self.config.grace_period = grace_period;
        self
    }

    /// How long a handler may take to end after it was told to stop, before it is aborted; 3 s if not said.
    pub const fn stop_grace(mut self, stop_grace: Duration) -> Self {
        self.config.stop_grace = stop_grace;
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// If a name or number breaks a limit, or no kind is given.
    pub fn build(self) -> Result<Worker> {
        let Self { pods, config } = self;
        limits::check_text("name", &config.name, NAME_BYTES_MAX)?;
        if config.kinds.is_empty() {
            return Err(Error::invalid("kinds", "are missing; name at least one kind of task"));
        }
        for (field, names) in [("kinds", &config.kinds), ("queues", &config.queues)] {
            if names.len() > limits::WORKER_NAMES_MAX {
                let message = format!("are {}; at most {} are allowed", names.len(), limits::WORKER_NAMES_MAX);
                return Err(Error::invalid(field, message));
            }
        }
        for kind in &config.kinds {
            limits::check_name("kinds", kind)?;
            if kind == limits::KIND_MANUAL {
                return Err(Error::invalid("kinds", "`manual` is for people and never dispatched"));
            }
        }
        for queue in &config.queues {
            limits::check_name("queues", queue)?;
        }
        if !(1..=limits::SLOTS_MAX).contains(&config.slots) {
            let message = format!("are {}; 1 to {} are allowed", config.slots, limits::SLOTS_MAX);
            return Err(Error::invalid("slots", message));
        }
        Ok(Worker { pods, config, session: Uuid::new_v4() })
    }
}
