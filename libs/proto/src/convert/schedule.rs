//! What a schedule shall be, with every check.

mod show;

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use chrono_tz::Tz;
use taskyard_core::{
    Error, Result, limits,
    schedule::{CatchUp, CronExpression, Definition, LABEL_PREFIX, Overlap, Template, Times, When, parse_zone},
};

pub use self::show::schedule_to_proto;
use super::{duration, new_task, timestamp, violations::Violations};
use crate::v1;

/// Reads what a schedule shall be: checks every limit, fills in every default. `anchor_at` is the anchor of an interval
/// that names none.
///
/// # Errors
/// One that names every field that is wrong, as the proto names them below the definition.
pub fn schedule_definition(definition: v1::ScheduleDefinition, anchor_at: DateTime<Utc>) -> Result<Definition> {
    let mut wrong = Violations::default();
    let times = wrong.take(schedule_times(definition.times.clone().unwrap_or_default(), anchor_at));
    let task = wrong.take(template(definition.task.clone().unwrap_or_default(), anchor_at));
    let catch_up = wrong.take(catch_up(&definition));
    let overlap = wrong.take(overlap(definition.overlap));
    let jitter = wrong.take(jitter(definition.jitter));
    wrong.finish()?;
    match (times, task, catch_up, overlap, jitter) {
        (Some(times), Some(task), Some(catch_up), Some(overlap), Some(jitter)) => {
            Ok(Definition { times, catch_up, overlap, jitter, task })
        }
        _ => Err(Error::internal("a field of a schedule was refused without a reason")),
    }
}

/// Reads when a schedule ticks.
///
/// # Errors
/// One that names every field that is wrong, below `times`.
pub fn schedule_times(times: v1::ScheduleTimes, anchor_at: DateTime<Utc>) -> Result<Times> {
    let mut wrong = Violations::default();
    let when = wrong.take(when(&times, anchor_at));
    if times.cron.is_empty() && !times.time_zone.is_empty() {
        wrong.add("time_zone", "is for cron only; leave it out");
    }
    if times.every.is_none() && times.anchor_time.is_some() {
        wrong.add("anchor_time", "is for every only; leave it out");
    }
    let starts_at = times.start_time.map(|time| timestamp("start_time", time)).transpose();
    let ends_at = times.end_time.map(|time| timestamp("end_time", time)).transpose();
    let (starts_at, ends_at) = (wrong.take(starts_at).flatten(), wrong.take(ends_at).flatten());
    if let (Some(start), Some(end)) = (starts_at, ends_at)
        && end < start
    {
        wrong.add("end_time", "lies before start_time");
    }
    wrong.finish().map_err(below_times)?;
    let when = when.ok_or_else(|| Error::internal("a schedule's times were refused without a reason"))?;
    Ok(Times { when, starts_at, ends_at })
}

/// Reads how many times are asked for.
///
/// # Errors
/// If they are too many.
pub fn next_times_count(count: u32) -> Result<usize> {
    match count {
        0 => Ok(limits::NEXT_TIMES_SHOWN as usize),
        count if count > limits::NEXT_TIMES_MAX => {
            Err(Error::invalid("count", format!("is {count}; at most {} is allowed", limits::NEXT_TIMES_MAX)))
        }
        count => Ok(count as usize),
    }
}

fn below_times(error: Error) -> Error {
    let message = format!("times.{}", error.message);
    Error { message, ..error.within("times") }
}

fn when(times: &v1::ScheduleTimes, anchor_at: DateTime<Utc>) -> Result<When> {
    match (times.cron.as_str(), times.every, times.once_time) {
        ("", None, Some(once)) => timestamp("once_time", once).map(When::Once),
        ("", Some(every), None) => Ok(When::Every {
            interval: interval(every)?,
            anchor_at: match times.anchor_time {
                Some(anchor) => timestamp("anchor_time", anchor)?,
                None => anchor_at.trunc_subsecs(0),
            },
        }),
        (cron, None, None) if !cron.is_empty() => {
            let zone = match times.time_zone.as_str() {
                "" => Ok(Tz::UTC),
                name => parse_zone("time_zone", name),
            };
            let mut wrong = Violations::default();
            // Both are named if both are wrong.
            let zone = wrong.take(zone);
            let expression = wrong.take(CronExpression::parse("cron", cron, zone.unwrap_or(Tz::UTC)));
            wrong.finish()?;
            expression.map(When::Cron).ok_or_else(|| Error::internal("an expression was refused without a reason"))
        }
        ("", None, None) => {
            Err(Error::invalid("cron", "is missing; a schedule needs an expression, an interval or a single time"))
        }
        _ => Err(Error::invalid(
            "cron",
            "cannot be given together; a schedule has an expression, an interval or a single time",
        )),
    }
}

fn interval(every: prost_types::Duration) -> Result<Duration> {
    let interval = duration("every", every)?;
    let (least, most) = (limits::SCHEDULE_INTERVAL_MIN, limits::SCHEDULE_INTERVAL_MAX);
    if (least..=most).contains(&interval) {
        return Ok(interval);
    }
    let (given, least, days) = (interval.as_millis(), least.as_millis(), most.as_secs() / 86_400);
    Err(Error::invalid("every", format!("is {given} ms; it must be {least} ms to {days} days")))
}

/// A tick's task is checked as any other that is created now.
fn template(task: v1::TaskTemplate, now: DateTime<Utc>) -> Result<Template> {
    let mut wrong = Violations::default();
    if task.payload.len() > limits::SCHEDULE_PAYLOAD_BYTES_MAX {
        let most = limits::SCHEDULE_PAYLOAD_BYTES_MAX;
        wrong.add("payload", format!("has {} bytes; at most {most} are allowed in a schedule", task.payload.len()));
    }
    if task.labels.len() > limits::SCHEDULE_LABELS_MAX {
        let most = limits::SCHEDULE_LABELS_MAX;
        wrong.add("labels", format!("are {}; at most {most} are allowed in a schedule", task.labels.len()));
    }
    if let Some(label) = task.labels.keys().find(|label| label.starts_with(LABEL_PREFIX)) {
        let label = limits::shorten(label, limits::LABEL_KEY_BYTES_MAX);
        wrong.add("labels", format!("hold `{label}`; what begins with `{LABEL_PREFIX}` is ours to set"));
    }
    let task = v1::NewTask {
        queue: task.queue,
        kind: task.kind,
        title: task.title,
        description: task.description,
        payload: task.payload,
        labels: task.labels,
        priority: task.priority,
        timeout: task.timeout,
        retry: task.retry,
        ..v1::NewTask::default()
    };
    let task = wrong.take(new_task(task, now));
    wrong.finish().map_err(|error| error.within("task"))?;
    let task = task.ok_or_else(|| Error::internal("a schedule's task was refused without a reason"))?;
    Ok(Template {
        queue: task.queue,
        kind: task.kind,
        title: task.title,
        description: task.description,
        payload: task.payload,
        labels: task.labels,
        priority: task.priority,
        timeout: task.timeout,
        retry: task.retry,
    })
}

fn catch_up(definition: &v1::ScheduleDefinition) -> Result<CatchUp> {
    let most = definition.catch_up_max;
    let policy = match v1::CatchUp::try_from(definition.catch_up) {
        Ok(v1::CatchUp::Skip) => CatchUp::Skip,
        Ok(v1::CatchUp::Unspecified | v1::CatchUp::Once) => CatchUp::Once,
        Ok(v1::CatchUp::All) if most == 0 => CatchUp::All(limits::CATCH_UP_DEFAULT),
        Ok(v1::CatchUp::All) if most <= limits::CATCH_UP_MAX => CatchUp::All(most),
        Ok(v1::CatchUp::All) => {
            let message = format!("is {most}; it must be 1 to {}", limits::CATCH_UP_MAX);
            return Err(Error::invalid("catch_up_max", message));
        }
        Err(_) => {
            return Err(Error::invalid(
                "catch_up",
                format!("{} is not known; use skip, once or all", definition.catch_up),
            ));
        }
    };
    if most != 0 && !matches!(policy, CatchUp::All(_)) {
        return Err(Error::invalid("catch_up_max", "is for all only; leave it out, or let catch_up be all"));
    }
    Ok(policy)
}

fn overlap(number: i32) -> Result<Overlap> {
    match v1::Overlap::try_from(number) {
        Ok(v1::Overlap::Unspecified | v1::Overlap::Allow) => Ok(Overlap::Allow),
        Ok(v1::Overlap::Skip) => Ok(Overlap::Skip),
        Err(_) => Err(Error::invalid("overlap", format!("{number} is not known; use allow or skip"))),
    }
}

fn jitter(jitter: Option<prost_types::Duration>) -> Result<Duration> {
    let jitter = jitter.map(|jitter| duration("jitter", jitter)).transpose()?.unwrap_or_default();
    if jitter > limits::JITTER_MAX {
        let (given, most) = (jitter.as_millis(), limits::JITTER_MAX.as_millis());
        return Err(Error::invalid("jitter", format!("is {given} ms; at most {most} ms are allowed")));
    }
    Ok(jitter)
}

#[cfg(test)]
mod tests;
