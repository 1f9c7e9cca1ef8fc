//! What a schedule shall be, as columns and back.

use chrono::{DateTime, Utc};
use taskyard_core::schedule::{
    CatchUp, CronExpression, Definition, Overlap, Schedule, Template, Times, When, parse_zone, zone_name,
};
use uuid::Uuid;

use super::super::{duration, labels_from_json, labels_to_json, millis, retry_policy};

/// A schedule as it is written.
pub struct Columns<'a> {
    pub cron: Option<&'a str>,
    pub time_zone: Option<&'a str>,
    pub interval_ms: Option<i64>,
    pub anchor_at: Option<DateTime<Utc>>,
    pub once_at: Option<DateTime<Utc>>,
    pub starts_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    pub catch_up_max: Option<i16>,
    pub skips_overlap: bool,
    pub jitter_ms: i32,
    pub priority: i16,
    pub attempts_max: i16,
    pub timeout_ms: i32,
    pub backoff_ms: i32,
    pub backoff_max_ms: i32,
    pub queue: &'a str,
    pub kind: &'a str,
    pub title: &'a str,
    pub description: &'a str,
    pub labels: String,
    pub payload: &'a [u8],
}

impl<'a> Columns<'a> {
    pub fn of(definition: &'a Definition) -> Self {
        let (mut cron, mut time_zone, mut interval_ms, mut anchor, mut once_at) = (None, None, None, None, None);
        match &definition.times.when {
            When::Cron(expression) => {
                cron = Some(expression.text());
                time_zone = Some(zone_name(expression.zone()));
            }
            When::Every { interval, anchor_at } => {
                interval_ms = i64::try_from(interval.as_millis()).ok();
                anchor = Some(*anchor_at);
            }
            When::Once(at) => once_at = Some(*at),
        }
        let task = &definition.task;
        Self {
            cron,
            time_zone,
            interval_ms,
            anchor_at: anchor,
            once_at,
            starts_at: definition.times.starts_at,
            ends_at: definition.times.ends_at,
            catch_up_max: catch_up_to_column(definition.catch_up),
            skips_overlap: definition.overlap == Overlap::Skip,
            jitter_ms: millis(definition.jitter),
            priority: task.priority.into(),
            attempts_max: i16::try_from(task.retry.attempts_max).unwrap_or(i16::MAX),
            timeout_ms: millis(task.timeout),
            backoff_ms: millis(task.retry.backoff),
            backoff_max_ms: millis(task.retry.backoff_max),
            queue: &task.queue,
            kind: &task.kind,
            title: &task.title,
            description: &task.description,
            labels: labels_to_json(&task.labels),
            payload: &task.payload,
        }
    }
}

/// A schedule as it is read.
pub struct Row {
    pub id: i64,
    pub name: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub creator: String,
    pub cron: Option<String>,
    pub time_zone: Option<String>,
    pub interval_ms: Option<i64>,
    pub anchor_at: Option<DateTime<Utc>>,
    pub once_at: Option<DateTime<Utc>>,
    pub starts_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    pub catch_up_max: Option<i16>,
    pub skips_overlap: bool,
    pub jitter_ms: i32,
    pub priority: i16,
    pub attempts_max: i16,
    pub timeout_ms: i32,
    pub backoff_ms: i32,
    pub backoff_max_ms: i32,
    pub queue: String,
    pub kind: String,
    pub title: String,
    pub description: String,
    pub labels: String,
    pub payload: Vec<u8>,
    pub version: i32,
    pub paused: bool,
    pub next_at: Option<DateTime<Utc>>,
    pub last_task: Option<Uuid>,
}

impl Row {
    pub fn read(self) -> Result<Schedule, sqlx::Error> {
        let when = TimesColumns {
            cron: self.cron,
            time_zone: self.time_zone,
            interval_ms: self.interval_ms,
            anchor_at: self.anchor_at,
            once_at: self.once_at,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
        };
        Ok(Schedule {
            name: self.name,
            definition: Definition {
                times: when.read()?,
                catch_up: catch_up_from_column(self.catch_up_max),
                overlap: overlap_from_column(self.skips_overlap),
                jitter: duration(self.jitter_ms),
                task: Template {
                    queue: self.queue,
                    kind: self.kind,
                    title: self.title,
                    description: self.description,
                    payload: self.payload,
                    labels: labels_from_json(Some(&self.labels)),
                    priority: u8::try_from(self.priority).unwrap_or(0),
                    timeout: duration(self.timeout_ms),
                    retry: retry_policy(self.attempts_max, self.backoff_ms, self.backoff_max_ms),
                },
            },
            paused: self.paused,
            version: self.version.cast_unsigned(),
            creator: self.creator,
            created_at: self.created_at,
            updated_at: self.updated_at,
            next_at: self.next_at,
            last_task: self.last_task,
            ticks: Vec::new(),
        })
    }
}

/// When a schedule ticks, as it is read.
pub struct TimesColumns {
    pub cron: Option<String>,
    pub time_zone: Option<String>,
    pub interval_ms: Option<i64>,
    pub anchor_at: Option<DateTime<Utc>>,
    pub once_at: Option<DateTime<Utc>>,
    pub starts_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
}

impl TimesColumns {
    pub fn read(self) -> Result<Times, sqlx::Error> {
        let unreadable = |what: String| sqlx::Error::Decode(what.into());
        let when = match (self.cron, self.time_zone, self.interval_ms, self.anchor_at, self.once_at) {
            (Some(cron), Some(zone), ..) => {
                let expression =
                    parse_zone("time_zone", &zone).and_then(|zone| CronExpression::parse("cron", &cron, zone));
                When::Cron(expression.map_err(|error| unreadable(error.message))?)
            }
            (_, _, Some(interval_ms), Some(anchor_at), _) => {
                let interval = std::time::Duration::from_millis(interval_ms.unsigned_abs());
                When::Every { interval, anchor_at }
            }
            (.., Some(at)) => When::Once(at),
            _ => return Err(unreadable("a schedule has no times".to_owned())),
        };
        Ok(Times { when, starts_at: self.starts_at, ends_at: self.ends_at })
    }
}

pub fn catch_up_from_column(max: Option<i16>) -> CatchUp {
    match max.map(u32::try_from) {
        None => CatchUp::Once,
        Some(Ok(most)) if most > 0 => CatchUp::All(most),
        Some(_) => CatchUp::Skip,
    }
}

fn catch_up_to_column(policy: CatchUp) -> Option<i16> {
    match policy {
        CatchUp::Skip => Some(0),
        CatchUp::Once => None,
        CatchUp::All(most) => Some(i16::try_from(most).unwrap_or(i16::MAX)),
    }
}

pub const fn overlap_from_column(skips_overlap: bool) -> Overlap {
    if skips_overlap { Overlap::Skip } else { Overlap::Allow }
}
