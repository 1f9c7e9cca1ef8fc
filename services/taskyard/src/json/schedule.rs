//! A schedule.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use taskyard_client::v1;

use super::{
    task::{Retry, document},
    time::{Time, millis, time},
};
use crate::text::{catch_up_name, overlap_name, tick_kind_name};

/// A schedule. The payload and the newest ticks are there where one is read.
#[derive(Debug, Serialize)]
pub struct Schedule {
    name: String,
    namespace: String,
    times: Times,
    task: Template,
    catch_up: String,
    catch_up_max: Option<u32>,
    overlap: String,
    jitter_ms: u64,
    paused: bool,
    version: u32,
    creator: String,
    created_at: Option<Time>,
    updated_at: Option<Time>,
    next_times: Vec<Option<Time>>,
    last_task_id: Option<String>,
    ticks: Vec<Tick>,
}

#[derive(Debug, Serialize)]
struct Times {
    cron: Option<String>,
    time_zone: Option<String>,
    every_ms: Option<u64>,
    anchor_at: Option<Time>,
    once_at: Option<Time>,
    starts_at: Option<Time>,
    ends_at: Option<Time>,
}

#[derive(Debug, Serialize)]
struct Template {
    queue: String,
    kind: String,
    title: String,
    description: String,
    labels: BTreeMap<String, String>,
    priority: Option<u32>,
    timeout_ms: Option<u64>,
    retry: Option<Retry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
struct Tick {
    at: Option<Time>,
    kind: String,
    fired_at: Option<Time>,
    task_id: Option<String>,
}

/// When a schedule ticks next.
#[derive(Debug, Serialize)]
pub struct NextTimes {
    times: Vec<Option<Time>>,
}

impl From<v1::Schedule> for Schedule {
    fn from(schedule: v1::Schedule) -> Self {
        let definition = schedule.definition.unwrap_or_default();
        Self {
            name: schedule.name,
            namespace: schedule.namespace,
            times: definition.times.unwrap_or_default().into(),
            task: definition.task.unwrap_or_default().into(),
            catch_up: catch_up_name(definition.catch_up),
            catch_up_max: Some(definition.catch_up_max).filter(|most| *most > 0),
            overlap: overlap_name(definition.overlap),
            jitter_ms: millis(definition.jitter).unwrap_or_default(),
            paused: schedule.paused,
            version: schedule.version,
            creator: schedule.creator,
            created_at: time(schedule.create_time),
            updated_at: time(schedule.update_time),
            next_times: schedule.next_times.into_iter().map(|at| time(Some(at))).collect(),
            last_task_id: text(schedule.last_task_id),
            ticks: schedule.ticks.into_iter().map(Tick::from).collect(),
        }
    }
}

impl From<v1::ScheduleTimes> for Times {
    fn from(times: v1::ScheduleTimes) -> Self {
        Self {
            cron: text(times.cron),
            time_zone: text(times.time_zone),
            every_ms: millis(times.every),
            anchor_at: time(times.anchor_time),
            once_at: time(times.once_time),
            starts_at: time(times.start_time),
            ends_at: time(times.end_time),
        }
    }
}

impl From<v1::TaskTemplate> for Template {
    fn from(task: v1::TaskTemplate) -> Self {
        Self {
            queue: task.queue,
            kind: task.kind,
            title: task.title,
            description: task.description,
            labels: task.labels,
            priority: task.priority,
            timeout_ms: millis(task.timeout),
            retry: task.retry.map(Retry::from),
            payload: document(&task.payload),
        }
    }
}

impl From<v1::ScheduleTick> for Tick {
    fn from(tick: v1::ScheduleTick) -> Self {
        Self {
            at: time(tick.time),
            kind: tick_kind_name(tick.kind),
            fired_at: time(tick.fire_time),
            task_id: text(tick.task_id),
        }
    }
}

impl From<Vec<prost_types::Timestamp>> for NextTimes {
    fn from(times: Vec<prost_types::Timestamp>) -> Self {
        Self { times: times.into_iter().map(|at| time(Some(at))).collect() }
    }
}

fn text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}
