//! What a bench can be told.

use std::time::Duration;

use clap::{Args, ValueEnum};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Whole lives of tasks a second, on two disks
    Throughput,
    /// From create to start, with and without a history
    Latency,
    /// The full rate for a long time
    Soak,
    /// Searches, and what the index costs those that run
    Search,
    /// Reads and creates through the gateway
    Gateway,
    /// What it takes when nothing happens
    Idle,
}

/// Flags of `taskyard bench`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Measure only this; can be given several times
    #[arg(long, value_name = "PART")]
    pub only: Vec<Part>,
    /// Tasks of one throughput run
    #[arg(long, default_value_t = 100_000)]
    pub tasks: usize,
    /// Runs of throughput and latency, of which the median is shown
    #[arg(long, default_value_t = 3)]
    pub repeats: usize,
    /// Tasks a second while latency is measured
    #[arg(long, default_value_t = 500)]
    pub latency_rate: u32,
    /// How long latency is measured, in seconds
    #[arg(long, default_value_t = 20)]
    pub latency_s: u64,
    /// Finished tasks in the history
    #[arg(long, default_value_t = 2_000_000)]
    pub history: u64,
    /// How long the soak lasts, twice, in seconds
    #[arg(long, default_value_t = 600)]
    pub soak_s: u64,
    /// Show what Postgres spent its time on in each run of throughput and latency
    #[arg(long)]
    pub profile: bool,
    /// Tasks that are searched
    #[arg(long, default_value_t = 1_000_000)]
    pub search_tasks: u64,
    /// Searches that are timed
    #[arg(long, default_value_t = 2_000)]
    pub search_queries: usize,
    /// How long each figure of the gateway is measured, in seconds
    #[arg(long, default_value_t = 15)]
    pub gateway_s: u64,
    /// How long idleness is measured, in seconds
    #[arg(long, default_value_t = 30)]
    pub idle_s: u64,
}

impl Options {
    /// Whether a part is wanted.
    #[must_use]
    pub fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// How long latency is measured.
    #[must_use]
    pub const fn latency_time(&self) -> Duration {
        Duration::from_secs(self.latency_s)
    }

    /// How long the soak lasts.
    #[must_use]
    pub const fn soak(&self) -> Duration {
        Duration::from_secs(self.soak_s)
    }

    /// How long each figure of the gateway is measured.
    #[must_use]
    pub const fn gateway_time(&self) -> Duration {
        Duration::from_secs(self.gateway_s)
    }

    /// How long idleness is measured.
    #[must_use]
    pub const fn idle_time(&self) -> Duration {
        Duration::from_secs(self.idle_s)
    }
}
