//! What a bench can be told.

use std::time::Duration;

use clap::Args;

/// Flags of `taskyard bench`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Tasks of one throughput run
    #[arg(long, default_value_t = 100_000)]
    pub tasks: usize,
    /// Throughput runs, of which the median is shown
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
    /// How long the soak lasts, twice, in seconds; 0 leaves it out
    #[arg(long, default_value_t = 600)]
    pub soak_s: u64,
    /// Show what Postgres spent its time on in each throughput run
    #[arg(long)]
    pub profile: bool,
    /// How long idleness is measured, in seconds
    #[arg(long, default_value_t = 30)]
    pub idle_s: u64,
}

impl Options {
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

    /// How long idleness is measured.
    #[must_use]
    pub const fn idle_time(&self) -> Duration {
        Duration::from_secs(self.idle_s)
    }
}
