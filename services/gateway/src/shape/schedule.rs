//! A schedule as it stands.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use taskyard_core::{Error, Result};
use taskyard_proto::v1;

use super::{
    task::{Retry, document},
    time::{Time, millis, time},
};

/// A schedule. The payload and the newest ticks are there when one is read.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Schedule {
    pub(crate) name: String,
    namespace: String,
    times: Times,
    task: Template,
    catch_up: String,
    catch_up_max: Option<u32>,
    overlap: String,
    jitter_ms: u64,
    paused: bool,
    pub(crate) version: u32,
    creator: String,
    created_at: Option<Time>,
    updated_at: Option<Time>,
    next_times: Vec<Option<Time>>,
    last_task_id: Option<String>,
    ticks: Vec<Tick>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Times {
    cron: Option<String>,
    time_zone: Option<String>,
    every_ms: Option<u64>,
    anchor_at: Option<Time>,
    once_at: Option<Time>,
    starts_at: Option<Time>,
    ends_at: Option<Time>,
}

#[derive(Debug, Serialize, JsonSchema)]
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

#[derive(Debug, Serialize, JsonSchema)]
struct Tick {
    at: Option<Time>,
    kind: String,
    fired_at: Option<Time>,
    task_id: Option<String>,
}

impl TryFrom<v1::Schedule> for Schedule {
    type Error = Error;

    fn try_from(schedule: v1::Schedule) -> Result<Self> {
        let definition = schedule.definition.unwrap_or_default();
        let (catch_up, overlap) = (definition.catch_up, definition.overlap);
        Ok(Self {
            name: schedule.name,
            namespace: schedule.namespace,
            times: definition.times.unwrap_or_default().try_into()?,
            task: definition.task.unwrap_or_default().try_into()?,
            catch_up: named(catch_up, v1::CatchUp::try_from(catch_up).ok().map(|it| it.as_str_name()), "CATCH_UP_"),
            catch_up_max: Some(definition.catch_up_max).filter(|most| *most > 0),
            overlap: named(overlap, v1::Overlap::try_from(overlap).ok().map(|it| it.as_str_name()), "OVERLAP_"),
            jitter_ms: millis(definition.jitter)?.unwrap_or_default(),
            paused: schedule.paused,
            version: schedule.version,
            creator: schedule.creator,
            created_at: time(schedule.create_time)?,
            updated_at: time(schedule.update_time)?,
            next_times: times(schedule.next_times)?,
            last_task_id: text(schedule.last_task_id),
            ticks: schedule.ticks.into_iter().map(Tick::try_from).collect::<Result<_>>()?,
        })
    }
}

impl TryFrom<v1::ScheduleTimes> for Times {
    type Error = Error;

    fn try_from(times: v1::ScheduleTimes) -> Result<Self> {
        Ok(Self {
            cron: text(times.cron),
            time_zone: text(times.time_zone),
            every_ms: millis(times.every)?,
            anchor_at: time(times.anchor_time)?,
            once_at: time(times.once_time)?,
            starts_at: time(times.start_time)?,
            ends_at: time(times.end_time)?,
        })
    }
}

impl TryFrom<v1::TaskTemplate> for Template {
    type Error = Error;

    fn try_from(task: v1::TaskTemplate) -> Result<Self> {
        Ok(Self {
            queue: task.queue,
            kind: task.kind,
            title: task.title,
            description: task.description,
            labels: task.labels,
            priority: task.priority,
            timeout_ms: millis(task.timeout)?,
            retry: task.retry.map(Retry::try_from).transpose()?,
            payload: document(&task.payload)?,
        })
    }
}

impl TryFrom<v1::ScheduleTick> for Tick {
    type Error = Error;

    fn try_from(tick: v1::ScheduleTick) -> Result<Self> {
        let kind = v1::TickKind::try_from(tick.kind).ok().map(|it| it.as_str_name());
        Ok(Self {
            at: time(tick.time)?,
            kind: named(tick.kind, kind, "TICK_KIND_"),
            fired_at: time(tick.fire_time)?,
            task_id: text(tick.task_id),
        })
    }
}

/// One page of schedules.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Schedules {
    schedules: Vec<Schedule>,
    next_page_token: Option<String>,
}

impl TryFrom<v1::ListSchedulesResponse> for Schedules {
    type Error = Error;

    fn try_from(page: v1::ListSchedulesResponse) -> Result<Self> {
        Ok(Self {
            schedules: page.schedules.into_iter().map(Schedule::try_from).collect::<Result<_>>()?,
            next_page_token: text(page.next_page_token),
        })
    }
}

/// When a schedule ticks next.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct NextTimes {
    times: Vec<Option<Time>>,
}

impl TryFrom<Vec<prost_types::Timestamp>> for NextTimes {
    type Error = Error;

    fn try_from(next: Vec<prost_types::Timestamp>) -> Result<Self> {
        Ok(Self { times: times(next)? })
    }
}

/// The task of a run by hand.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Triggered {
    pub(crate) task_id: String,
    pub(crate) created: bool,
}

fn times(times: Vec<prost_types::Timestamp>) -> Result<Vec<Option<Time>>> {
    times.into_iter().map(|at| time(Some(at))).collect()
}

fn text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// The proto's name without its prefix, in small letters; the number of one that this version does not know.
fn named(number: i32, name: Option<&str>, prefix: &str) -> String {
    let name = name.and_then(|name| name.strip_prefix(prefix));
    name.map_or_else(|| format!("unknown_{number}"), str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_shown() {
        let schedule = v1::Schedule {
            name: "n".into(),
            namespace: "default".into(),
            definition: Some(v1::ScheduleDefinition {
                times: Some(v1::ScheduleTimes { cron: "@daily".into(), time_zone: "UTC".into(), ..Default::default() }),
                task: Some(v1::TaskTemplate { kind: "k".into(), payload: "[1.00]".into(), ..Default::default() }),
                catch_up: 2,
                overlap: 9,
                ..Default::default()
            }),
            next_times: vec![prost_types::Timestamp { seconds: 1, nanos: 0 }],
            ticks: vec![v1::ScheduleTick { kind: 2, ..Default::default() }],
            version: 3,
            ..Default::default()
        };
        let shown = serde_json::to_string(&Schedule::try_from(schedule).unwrap()).unwrap();
        assert_eq!(
            shown,
            r#"{"name":"n","namespace":"default","times":{"cron":"@daily","time_zone":"UTC","every_ms":null,"anchor_at":null,"once_at":null,"starts_at":null,"ends_at":null},"task":{"queue":"","kind":"k","title":"","description":"","labels":{},"priority":null,"timeout_ms":null,"retry":null,"payload":[1.00]},"catch_up":"once","catch_up_max":null,"overlap":"unknown_9","jitter_ms":0,"paused":false,"version":3,"creator":"","created_at":null,"updated_at":null,"next_times":["1970-01-01T00:00:01.000000Z"],"last_task_id":null,"ticks":[{"at":null,"kind":"caught_up","fired_at":null,"task_id":null}]}"#
        );
    }
}
