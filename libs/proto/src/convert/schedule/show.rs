//! A schedule as answers show it.

use taskyard_core::{
    limits,
    schedule::{CatchUp, Definition, Overlap, Schedule, Template, Tick, TickKind, Times, When, zone_name},
};

use super::super::{duration_to_proto, timestamp_to_proto};
use crate::v1;

/// A schedule as a message holds it.
#[must_use]
pub fn schedule_to_proto(schedule: Schedule, namespace: &str) -> v1::Schedule {
    let next_times = schedule.next_times(limits::NEXT_TIMES_SHOWN as usize);
    v1::Schedule {
        name: schedule.name,
        namespace: namespace.to_owned(),
        definition: Some(definition_to_proto(schedule.definition)),
        paused: schedule.paused,
        version: schedule.version,
        creator: schedule.creator,
        create_time: Some(timestamp_to_proto(schedule.created_at)),
        update_time: Some(timestamp_to_proto(schedule.updated_at)),
        next_times: next_times.into_iter().map(timestamp_to_proto).collect(),
        last_task_id: schedule.last_task.map(|id| id.to_string()).unwrap_or_default(),
        ticks: schedule.ticks.into_iter().map(tick_to_proto).collect(),
    }
}

pub(super) fn definition_to_proto(definition: Definition) -> v1::ScheduleDefinition {
    let (catch_up, catch_up_max) = match definition.catch_up {
        CatchUp::Skip => (v1::CatchUp::Skip, 0),
        CatchUp::Once => (v1::CatchUp::Once, 0),
        CatchUp::All(most) => (v1::CatchUp::All, most),
    };
    let overlap = match definition.overlap {
        Overlap::Allow => v1::Overlap::Allow,
        Overlap::Skip => v1::Overlap::Skip,
    };
    v1::ScheduleDefinition {
        times: Some(times_to_proto(definition.times)),
        task: Some(template_to_proto(definition.task)),
        catch_up: catch_up.into(),
        catch_up_max,
        overlap: overlap.into(),
        jitter: Some(definition.jitter).filter(|jitter| !jitter.is_zero()).map(duration_to_proto),
    }
}

fn times_to_proto(times: Times) -> v1::ScheduleTimes {
    let bounds = v1::ScheduleTimes {
        start_time: times.starts_at.map(timestamp_to_proto),
        end_time: times.ends_at.map(timestamp_to_proto),
        ..v1::ScheduleTimes::default()
    };
    match times.when {
        When::Cron(expression) => v1::ScheduleTimes {
            cron: expression.text().to_owned(),
            time_zone: zone_name(expression.zone()).to_owned(),
            ..bounds
        },
        When::Every { interval, anchor_at } => v1::ScheduleTimes {
            every: Some(duration_to_proto(interval)),
            anchor_time: Some(timestamp_to_proto(anchor_at)),
            ..bounds
        },
        When::Once(at) => v1::ScheduleTimes { once_time: Some(timestamp_to_proto(at)), ..bounds },
    }
}

fn template_to_proto(task: Template) -> v1::TaskTemplate {
    v1::TaskTemplate {
        queue: task.queue,
        kind: task.kind,
        title: task.title,
        description: task.description,
        payload: task.payload.into(),
        labels: task.labels,
        priority: Some(task.priority.into()),
        timeout: Some(duration_to_proto(task.timeout)),
        retry: Some(v1::RetryPolicy {
            attempts_max: task.retry.attempts_max.into(),
            backoff: Some(duration_to_proto(task.retry.backoff)),
            backoff_max: Some(duration_to_proto(task.retry.backoff_max)),
        }),
    }
}

fn tick_to_proto(tick: Tick) -> v1::ScheduleTick {
    let kind = match tick.kind {
        TickKind::OnTime => v1::TickKind::OnTime,
        TickKind::CaughtUp => v1::TickKind::CaughtUp,
        TickKind::ByHand => v1::TickKind::ByHand,
        TickKind::Missed => v1::TickKind::Missed,
        TickKind::Overlapped => v1::TickKind::Overlapped,
        TickKind::OverQuota => v1::TickKind::OverQuota,
    };
    v1::ScheduleTick {
        time: Some(timestamp_to_proto(tick.at)),
        kind: kind.into(),
        fire_time: Some(timestamp_to_proto(tick.fired_at)),
        task_id: tick.task.map(|id| id.to_string()).unwrap_or_default(),
    }
}
