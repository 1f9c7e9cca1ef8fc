//! The flags that say what a schedule shall be.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use taskyard_client::v1;
use taskyard_core::limits;
use taskyard_proto::convert::{duration_to_proto, timestamp_to_proto};

use crate::read::{Document, Label, duration, label, time};

/// When it ticks.
#[derive(clap::Args, Clone, Debug)]
pub struct TimesArgs {
    /// Minute, hour, day of month, month, day of week; with the second before them if they are six; or @daily …
    #[arg(long, value_name = "EXPRESSION", conflicts_with_all = ["every", "at"])]
    cron: Option<String>,
    /// The time zone whose clock the expression goes by, like Europe/Berlin; UTC if not given
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// So often, like 15m
    #[arg(long, value_parser = duration, value_name = "DURATION", conflicts_with = "at")]
    every: Option<Duration>,
    /// One of the ticks of --every, the others lie around it; now if not given
    #[arg(long, value_parser = time, value_name = "TIME")]
    anchor: Option<DateTime<Utc>>,
    /// Once, at this time
    #[arg(long, value_parser = time, value_name = "TIME")]
    at: Option<DateTime<Utc>>,
    /// No tick before this
    #[arg(long, value_parser = time, value_name = "TIME")]
    start: Option<DateTime<Utc>>,
    /// No tick after this
    #[arg(long, value_parser = time, value_name = "TIME")]
    end: Option<DateTime<Utc>>,
}

impl TimesArgs {
    /// Nothing is given.
    pub const fn is_empty(&self) -> bool {
        matches!(
            self,
            Self { cron: None, time_zone: None, every: None, anchor: None, at: None, start: None, end: None }
        )
    }

    /// These times with what is given.
    pub fn change(self, mut times: v1::ScheduleTimes) -> v1::ScheduleTimes {
        if self.cron.is_some() || self.every.is_some() || self.at.is_some() {
            // Another kind of times: what belongs to the one before goes. The zone stays with an expression.
            let time_zone = if self.cron.is_some() { times.time_zone } else { String::new() };
            let bounds = (times.start_time, times.end_time);
            times = v1::ScheduleTimes { time_zone, start_time: bounds.0, end_time: bounds.1, ..Default::default() };
        }
        times.cron = self.cron.unwrap_or(times.cron);
        times.time_zone = self.time_zone.unwrap_or(times.time_zone);
        times.every = self.every.map(duration_to_proto).or(times.every);
        times.anchor_time = self.anchor.map(timestamp_to_proto).or(times.anchor_time);
        times.once_time = self.at.map(timestamp_to_proto).or(times.once_time);
        times.start_time = self.start.map(timestamp_to_proto).or(times.start_time);
        times.end_time = self.end.map(timestamp_to_proto).or(times.end_time);
        times
    }
}

/// What each tick makes, and what becomes of ticks.
#[derive(clap::Args, Clone, Debug)]
pub struct DefinitionArgs {
    #[command(flatten)]
    times: TimesArgs,
    /// What becomes of ticks that were missed by more than 30 s; once if not given
    #[arg(long, value_enum, value_name = "POLICY")]
    catch_up: Option<CatchUp>,
    /// With --catch-up all: the newest so many; 10 if not given
    #[arg(long, value_name = "COUNT")]
    catch_up_max: Option<u32>,
    /// What a tick does while the last task is not finished; allow if not given
    #[arg(long, value_enum, value_name = "POLICY")]
    overlap: Option<Overlap>,
    /// Each task starts a random time of up to this after its tick
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    jitter: Option<Duration>,
    /// What a worker must know how to run; `manual` for people
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// The queue; `default` if not given
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// What the worker is given: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON")]
    payload: Option<Document>,
    /// A label, like team=growth; repeat it for more
    #[arg(long = "label", value_parser = label, value_name = "KEY=VALUE")]
    labels: Vec<Label>,
    /// Removes a label; repeat it for more
    #[arg(long = "remove-label", value_name = "KEY")]
    removed_labels: Vec<String>,
    /// 0 to 9, higher first; 5 if not given
    #[arg(long, value_name = "NUMBER")]
    priority: Option<u32>,
    /// The longest that one run may take; 1h if not given
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    timeout: Option<Duration>,
    /// How often a task is tried; 10 if not given
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    attempts: Option<u32>,
    /// The delay before the first retry, which doubles with each; 1s if not given
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    backoff: Option<Duration>,
    /// The longest delay before a retry; 1h if not given
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    backoff_max: Option<Duration>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CatchUp {
    /// They are passed over
    Skip,
    /// One task in place of all
    Once,
    /// A task for each
    All,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Overlap {
    /// It makes a task all the same
    Allow,
    /// It is passed over
    Skip,
}

impl DefinitionArgs {
    /// This definition with what is given.
    pub fn change(self, mut definition: v1::ScheduleDefinition) -> Result<v1::ScheduleDefinition> {
        definition.times = Some(self.times.change(definition.times.unwrap_or_default()));
        if let Some(policy) = self.catch_up {
            let (policy, most) = match policy {
                CatchUp::Skip => (v1::CatchUp::Skip, 0),
                CatchUp::Once => (v1::CatchUp::Once, 0),
                CatchUp::All => (v1::CatchUp::All, definition.catch_up_max),
            };
            definition.catch_up = policy.into();
            definition.catch_up_max = most;
        }
        definition.catch_up_max = self.catch_up_max.unwrap_or(definition.catch_up_max);
        if let Some(policy) = self.overlap {
            definition.overlap = match policy {
                Overlap::Allow => v1::Overlap::Allow,
                Overlap::Skip => v1::Overlap::Skip,
            }
            .into();
        }
        definition.jitter = self.jitter.map(duration_to_proto).or(definition.jitter);

        let mut task = definition.task.unwrap_or_default();
        task.kind = self.kind.unwrap_or(task.kind);
        task.queue = self.queue.unwrap_or(task.queue);
        task.title = self.title.unwrap_or(task.title);
        task.description = self.description.unwrap_or(task.description);
        if let Some(payload) = self.payload {
            task.payload = payload.read("--payload", limits::SCHEDULE_PAYLOAD_BYTES_MAX)?.into();
        }
        task.labels.retain(|key, _| !self.removed_labels.contains(key));
        task.labels.extend(self.labels);
        task.priority = self.priority.or(task.priority);
        task.timeout = self.timeout.map(duration_to_proto).or(task.timeout);
        if self.attempts.is_some() || self.backoff.is_some() || self.backoff_max.is_some() {
            let mut retry = task.retry.unwrap_or_default();
            retry.attempts_max = self.attempts.unwrap_or(retry.attempts_max);
            retry.backoff = self.backoff.map(duration_to_proto).or(retry.backoff);
            retry.backoff_max = self.backoff_max.map(duration_to_proto).or(retry.backoff_max);
            task.retry = Some(retry);
        }
        definition.task = Some(task);
        Ok(definition)
    }
}
