//! Schedules.

use chrono::{DateTime, SecondsFormat, Utc};
use taskyard_client::v1;
use taskyard_core::schedule::parse_zone;
use taskyard_proto::convert;

use super::{
    clean,
    name::tick_kind_name,
    table::Table,
    time::{full, length, relative, relative_or_dash},
};

/// Schedules, one a line.
#[derive(Debug)]
pub struct ScheduleTable(Table<5>);

impl ScheduleTable {
    /// An empty table.
    pub fn new() -> Self {
        Self(Table::new(["SCHEDULE", "TIMES", "QUEUE", "KIND", "NEXT"]))
    }

    /// The lines of a page; none if it is empty.
    pub fn lines(&mut self, schedules: Vec<v1::Schedule>, now: DateTime<Utc>) -> Option<String> {
        let rows: Vec<_> = schedules
            .into_iter()
            .map(|schedule| {
                let definition = schedule.definition.unwrap_or_default();
                let task = definition.task.unwrap_or_default();
                let paused = if schedule.paused { " (paused)" } else { "" };
                [
                    format!("{}{paused}", clean(&schedule.name)),
                    said(&definition.times.unwrap_or_default()),
                    clean(&task.queue),
                    clean(&task.kind),
                    relative_or_dash(schedule.next_times.first().copied(), now),
                ]
            })
            .collect();
        self.0.lines(&rows)
    }
}

/// All of a schedule.
pub fn schedule(schedule: &v1::Schedule, now: DateTime<Utc>) -> String {
    let definition = schedule.definition.clone().unwrap_or_default();
    let (times, task) = (definition.times.unwrap_or_default(), definition.task.unwrap_or_default());
    let mut lines = Vec::new();
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let mut parts = value.lines().map(clean);
            lines.push(format!("{name:<12}{}", parts.next().unwrap_or_default()));
            lines.extend(parts.map(|part| format!("{:12}{part}", "")));
        }
    };
    let labels: Vec<_> = task.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let next: Vec<_> = schedule.next_times.iter().map(|time| tick_time(*time, &times.time_zone, now)).collect();
    let ticks: Vec<_> = schedule.ticks.iter().map(|tick| tick_line(tick, now)).collect();
    field("schedule", Some(schedule.name.clone()));
    field("times", Some(said(&times)));
    field("start", full(times.start_time, now));
    field("end", full(times.end_time, now));
    field("paused", schedule.paused.then(|| "yes".to_owned()));
    field("next", Some(next.join("\n")));
    field("catch-up", Some(catch_up(definition.catch_up, definition.catch_up_max)));
    field("overlap", (definition.overlap == i32::from(v1::Overlap::Skip)).then(|| "skip".to_owned()));
    field("jitter", definition.jitter.and_then(duration));
    field("queue", Some(task.queue));
    field("kind", Some(task.kind));
    field("title", Some(task.title));
    field("description", Some(task.description));
    field("labels", Some(labels.join("\n")));
    field("priority", task.priority.map(|priority| priority.to_string()));
    field("timeout", task.timeout.and_then(duration));
    field("payload", Some(String::from_utf8_lossy(&task.payload).into_owned()));
    field("version", Some(schedule.version.to_string()));
    field("created", full(schedule.create_time, now));
    field("updated", full(schedule.update_time, now));
    field("last task", Some(schedule.last_task_id.clone()));
    field("ticks", Some(ticks.join("\n")));
    lines.join("\n")
}

/// A time by the clock of a zone, and how far it is.
pub fn tick_time(time: prost_types::Timestamp, zone: &str, now: DateTime<Utc>) -> String {
    let Ok(time) = convert::timestamp("time", time) else { return "-".to_owned() };
    let shown = match parse_zone("time_zone", zone) {
        Ok(zone) => time.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::AutoSi, true),
        Err(_) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    };
    format!("{shown} ({})", relative(time, now))
}

fn tick_line(tick: &v1::ScheduleTick, now: DateTime<Utc>) -> String {
    let time = full(tick.time, now).unwrap_or_default();
    format!("{time}  {}  {}", tick_kind_name(tick.kind), tick.task_id).trim_end().to_owned()
}

fn said(times: &v1::ScheduleTimes) -> String {
    if !times.cron.is_empty() {
        return clean(&format!("{} {}", times.cron, times.time_zone));
    }
    if let Some(every) = times.every.and_then(duration) {
        return format!("every {every}");
    }
    let once = times.once_time.and_then(|once| convert::timestamp("time", once).ok());
    once.map_or_else(|| "-".to_owned(), |once| format!("once {}", once.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
}

fn catch_up(policy: i32, most: u32) -> String {
    match v1::CatchUp::try_from(policy) {
        Ok(v1::CatchUp::Skip) => "skip".to_owned(),
        Ok(v1::CatchUp::All) => format!("all, at most {most}"),
        Ok(_) => "once".to_owned(),
        Err(_) => format!("unknown_{policy}"),
    }
}

fn duration(value: prost_types::Duration) -> Option<String> {
    convert::duration("duration", value).ok().map(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_one_line() {
        let definition = v1::ScheduleDefinition {
            times: Some(v1::ScheduleTimes {
                cron: "@daily".into(),
                time_zone: "Europe/Berlin".into(),
                ..Default::default()
            }),
            task: Some(v1::TaskTemplate { queue: "q".into(), kind: "k".into(), ..Default::default() }),
            ..Default::default()
        };
        let shown = v1::Schedule { name: "n".into(), paused: true, definition: Some(definition), ..Default::default() };
        assert_eq!(
            ScheduleTable::new().lines(vec![shown], Utc::now()).unwrap(),
            "SCHEDULE    TIMES                 QUEUE  KIND  NEXT\nn (paused)  @daily Europe/Berlin  q      k     -"
        );
    }

    #[test]
    fn times_are_shown_by_the_clock_of_the_zone() {
        let now = Utc::now();
        let time = prost_types::Timestamp { seconds: 1_774_746_000, nanos: 0 };
        assert!(tick_time(time, "Europe/Berlin", now).starts_with("2026-03-29T03:00:00+02:00 ("));
        assert!(tick_time(time, "", now).starts_with("2026-03-29T01:00:00Z ("));
    }
}
