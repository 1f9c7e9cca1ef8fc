//! A schedule to be created or changed, and times to be tried.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use taskyard_core::limits::LABELS_MAX;
use taskyard_proto::{convert::timestamp_to_proto, v1};

use super::{
    new_task::{Retry, retry_to_proto},
    time::from_millis,
};
use crate::read::{Map, Object};

/// A new schedule. Its limits are the tasks service's to check.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NewSchedule {
    name: Option<String>,
    paused: Option<bool>,
    times: Option<Object<Times>>,
    task: Option<Object<Template>>,
    catch_up: Option<CatchUp>,
    catch_up_max: Option<u32>,
    overlap: Option<Overlap>,
    jitter_ms: Option<u64>,
}

/// What a schedule shall be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ScheduleDefinition {
    times: Option<Object<Times>>,
    task: Option<Object<Template>>,
    catch_up: Option<CatchUp>,
    catch_up_max: Option<u32>,
    overlap: Option<Overlap>,
    jitter_ms: Option<u64>,
}

/// Times to be tried.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "SchedulePreview")]
pub(crate) struct Preview {
    times: Option<Object<Times>>,
    count: Option<u32>,
    after: Option<DateTime<Utc>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "NewTimes")]
struct Times {
    cron: Option<String>,
    time_zone: Option<String>,
    every_ms: Option<u64>,
    anchor_at: Option<DateTime<Utc>>,
    once_at: Option<DateTime<Utc>>,
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "NewTemplate")]
struct Template {
    queue: Option<String>,
    kind: Option<String>,
    title: Option<String>,
    description: Option<String>,
    payload: Option<Box<RawValue>>,
    labels: Option<Map<String, LABELS_MAX>>,
    priority: Option<u32>,
    timeout_ms: Option<u64>,
    retry: Option<Object<Retry>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum CatchUp {
    Skip,
    Once,
    All,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Overlap {
    Allow,
    Skip,
}

impl From<NewSchedule> for v1::CreateScheduleRequest {
    fn from(schedule: NewSchedule) -> Self {
        let definition = ScheduleDefinition {
            times: schedule.times,
            task: schedule.task,
            catch_up: schedule.catch_up,
            catch_up_max: schedule.catch_up_max,
            overlap: schedule.overlap,
            jitter_ms: schedule.jitter_ms,
        };
        Self {
            name: schedule.name.unwrap_or_default(),
            definition: Some(definition.into()),
            paused: schedule.paused.unwrap_or_default(),
        }
    }
}

impl From<ScheduleDefinition> for v1::ScheduleDefinition {
    fn from(definition: ScheduleDefinition) -> Self {
        let catch_up = definition.catch_up.map_or(v1::CatchUp::Unspecified, |policy| match policy {
            CatchUp::Skip => v1::CatchUp::Skip,
            CatchUp::Once => v1::CatchUp::Once,
            CatchUp::All => v1::CatchUp::All,
        });
        let overlap = definition.overlap.map_or(v1::Overlap::Unspecified, |policy| match policy {
            Overlap::Allow => v1::Overlap::Allow,
            Overlap::Skip => v1::Overlap::Skip,
        });
        Self {
            times: definition.times.map(|Object(times)| times.into()),
            task: definition.task.map(|Object(task)| task.into()),
            catch_up: catch_up.into(),
            catch_up_max: definition.catch_up_max.unwrap_or_default(),
            overlap: overlap.into(),
            jitter: definition.jitter_ms.map(from_millis),
        }
    }
}

impl From<Preview> for v1::PreviewScheduleRequest {
    fn from(preview: Preview) -> Self {
        Self {
            times: preview.times.map(|Object(times)| times.into()),
            count: preview.count.unwrap_or_default(),
            after_time: preview.after.map(timestamp_to_proto),
        }
    }
}

impl From<Times> for v1::ScheduleTimes {
    fn from(times: Times) -> Self {
        Self {
            cron: times.cron.unwrap_or_default(),
            time_zone: times.time_zone.unwrap_or_default(),
            every: times.every_ms.map(from_millis),
            anchor_time: times.anchor_at.map(timestamp_to_proto),
            once_time: times.once_at.map(timestamp_to_proto),
            start_time: times.starts_at.map(timestamp_to_proto),
            end_time: times.ends_at.map(timestamp_to_proto),
        }
    }
}

impl From<Template> for v1::TaskTemplate {
    fn from(task: Template) -> Self {
        Self {
            queue: task.queue.unwrap_or_default(),
            kind: task.kind.unwrap_or_default(),
            title: task.title.unwrap_or_default(),
            description: task.description.unwrap_or_default(),
            payload: task.payload.map(|payload| String::from(Box::<str>::from(payload)).into()).unwrap_or_default(),
            labels: task.labels.map(|labels| labels.0).unwrap_or_default(),
            priority: task.priority,
            timeout: task.timeout_ms.map(from_millis),
            retry: task.retry.map(|Object(retry)| retry_to_proto(retry)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::from_json;

    #[test]
    fn every_field_is_read() {
        let schedule: NewSchedule = from_json(
            br#"{"name":"n","paused":true,"times":{"cron":"@daily","time_zone":"Europe/Berlin","every_ms":1500,
                "anchor_at":"1970-01-01T00:00:01Z","once_at":"1970-01-01T00:00:02Z","starts_at":"1970-01-01T00:00:03Z",
                "ends_at":"1970-01-01T00:00:04Z"},"task":{"queue":"q","kind":"k","title":"t","description":"d",
                "payload":{"a": 1.00},"labels":{"x":"y"},"priority":7,"timeout_ms":1000,"retry":{"attempts_max":3}},
                "catch_up":"all","catch_up_max":4,"overlap":"skip","jitter_ms":250}"#,
        )
        .unwrap();
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let expected = v1::CreateScheduleRequest {
            name: "n".into(),
            paused: true,
            definition: Some(v1::ScheduleDefinition {
                times: Some(v1::ScheduleTimes {
                    cron: "@daily".into(),
                    time_zone: "Europe/Berlin".into(),
                    every: Some(from_millis(1_500)),
                    anchor_time: at(1),
                    once_time: at(2),
                    start_time: at(3),
                    end_time: at(4),
                }),
                task: Some(v1::TaskTemplate {
                    queue: "q".into(),
                    kind: "k".into(),
                    title: "t".into(),
                    description: "d".into(),
                    payload: r#"{"a": 1.00}"#.into(),
                    labels: [("x".to_owned(), "y".to_owned())].into(),
                    priority: Some(7),
                    timeout: Some(from_millis(1_000)),
                    retry: Some(v1::RetryPolicy { attempts_max: 3, ..Default::default() }),
                }),
                catch_up: v1::CatchUp::All.into(),
                catch_up_max: 4,
                overlap: v1::Overlap::Skip.into(),
                jitter: Some(from_millis(250)),
            }),
        };
        assert_eq!(v1::CreateScheduleRequest::from(schedule), expected);
    }

    #[test]
    fn a_wrong_field_is_named() {
        let wrong = |text: &str| from_json::<NewSchedule>(text.as_bytes()).unwrap_err().violations[0].field.clone();
        assert_eq!(wrong(r#"{"times":{"crons":"x"}}"#), "times.crons");
        assert_eq!(wrong(r#"{"task":{"id":"x"}}"#), "task.id");
        assert_eq!(wrong(r#"{"catch_up":"some"}"#), "catch_up");
        assert_eq!(wrong(r#"{"times":["x"]}"#), "times");
    }
}
