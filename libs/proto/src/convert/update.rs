//! A change of a task's texts, labels, priority and time.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use taskyard_core::{Error, Result, limits, task::Start};
use uuid::Uuid;

use super::{
    new_task::{priority, start_at},
    read_task_id,
    violations::Violations,
};
use crate::v1;

/// A change of a task, checked. What is `None` stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The task.
    pub id: Uuid,
    /// If set, the change is refused unless the task has this version.
    pub version: Option<u32>,
    /// The new title.
    pub title: Option<String>,
    /// The new description.
    pub description: Option<String>,
    /// The new labels, all of them.
    pub labels: Option<BTreeMap<String, String>>,
    /// The new priority.
    pub priority: Option<u8>,
    /// The new time of start; a mask that names `due_time` without a value means now.
    pub start: Option<Start>,
}

/// Reads a change: only what its mask names is taken.
///
/// # Errors
/// One that names every field that is wrong, as the proto names them.
pub fn update(request: v1::UpdateTaskRequest, now: DateTime<Utc>) -> Result<Update> {
    let mut wrong = Violations::default();
    let id = wrong.take(read_task_id("id", &request.id));
    let new = request.task.unwrap_or_default();
    let paths = request.update_mask.unwrap_or_default().paths;
    if paths.is_empty() {
        wrong.add("update_mask", format!("names nothing; it must name what to change: {FIELDS}"));
    }
    let mut update = Update {
        id: id.unwrap_or_default(),
        version: Some(request.version).filter(|version| *version != 0),
        title: None,
        description: None,
        labels: None,
        priority: None,
        start: None,
    };
    for path in &paths {
        match path.as_str() {
            "title" => {
                wrong.take(limits::check_text("title", &new.title, limits::TITLE_BYTES_MAX));
                update.title = Some(new.title.clone());
            }
            "description" => {
                wrong.take(limits::check_text("description", &new.description, limits::DESCRIPTION_BYTES_MAX));
                update.description = Some(new.description.clone());
            }
            "labels" => {
                wrong.take(limits::check_labels(&new.labels));
                update.labels = Some(new.labels.clone());
            }
            "priority" => update.priority = wrong.take(priority(new.priority)),
            "due_time" => update.start = wrong.take(new.due_time.map_or(Ok(Start::Now), |due| start_at(due, now))),
            other => {
                wrong.take::<()>(Err(unknown_path(other)));
                // One is enough: a mask may hold a million.
                break;
            }
        }
    }
    wrong.finish()?;
    Ok(update)
}

const FIELDS: &str = "title, description, labels, priority or due_time";

fn unknown_path(path: &str) -> Error {
    Error::invalid("update_mask", format!("`{}` cannot be changed; only {FIELDS} can", limits::shorten(path, 60)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use taskyard_core::id::new_task_id;

    use super::*;

    fn request(paths: &[&str]) -> v1::UpdateTaskRequest {
        v1::UpdateTaskRequest {
            id: new_task_id().to_string(),
            task: Some(v1::TaskUpdate { title: "new".into(), priority: 10, ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() }),
            version: 0,
        }
    }

    #[test]
    fn only_what_the_mask_names_is_taken() {
        let update = update(request(&["title", "due_time"]), Utc::now()).unwrap();
        assert_eq!(update.title.as_deref(), Some("new"));
        assert_eq!(update.start, Some(Start::Now));
        assert_eq!((update.description, update.labels, update.priority, update.version), (None, None, None, None));
    }

    #[test]
    fn a_mask_that_names_nothing_or_too_much_is_refused() {
        for paths in [&[][..], &["state"], &["priority"]] {
            assert!(update(request(paths), Utc::now()).is_err(), "{paths:?}");
        }
    }

    proptest! {
        #[test]
        fn any_update_is_read_or_refused(
            id in ".{0,40}", paths in prop::collection::vec("title|labels|priority|due_time|.{0,5}", 0..6),
            priority in any::<u32>(), seconds in any::<i64>(), nanos in any::<i32>(),
        ) {
            let due_time = Some(prost_types::Timestamp { seconds, nanos });
            let _ = update(v1::UpdateTaskRequest {
                id,
                task: Some(v1::TaskUpdate { priority, due_time, ..Default::default() }),
                update_mask: Some(prost_types::FieldMask { paths }),
                version: 1,
            }, Utc::now());
        }
    }
}
