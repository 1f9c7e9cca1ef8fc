//! Tasks.

use chrono::{DateTime, Utc};
use taskyard_client::v1;
use taskyard_proto::convert;

use super::{
    clean, length, shorten, state_name,
    table::Table,
    time::{full, relative_or_dash},
};

/// A title longer than this would break lines.
const TITLE_CHARACTERS_MAX: usize = 60;

/// Tasks, one a line.
#[derive(Debug)]
pub struct TaskTable {
    table: Table<6>,
    by_end: bool,
}

impl TaskTable {
    /// A table that shows when tasks were created or, in a list that is in that order, when they finished.
    pub fn new(by_end: bool) -> Self {
        let time = if by_end { "FINISHED" } else { "CREATED" };
        Self { table: Table::new(["ID", "STATE", "QUEUE", "KIND", time, "TITLE"]), by_end }
    }

    /// The lines of a page; none if it is empty.
    pub fn lines(&mut self, tasks: Vec<v1::Task>, now: DateTime<Utc>) -> Option<String> {
        let rows: Vec<_> = tasks
            .into_iter()
            .map(|task| {
                let time = if self.by_end { task.finish_time } else { task.create_time };
                let (state, title) = (state(&task), shorten(&task.title, TITLE_CHARACTERS_MAX));
                [task.id, state, clean(&task.queue), clean(&task.kind), relative_or_dash(time, now), title]
            })
            .collect();
        self.table.lines(&rows)
    }
}

/// What became of a task, in one line.
pub fn headline(task: &v1::Task) -> String {
    let error = if task.error.is_empty() { String::new() } else { format!("  {}", clean(&task.error)) };
    format!("{}  {}{error}", task.id, state(task))
}

/// All of a task.
pub fn task(task: &v1::Task, now: DateTime<Utc>) -> String {
    let mut lines = Vec::new();
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            // Texts of several lines keep them, below each other.
            let mut parts = value.lines().map(clean);
            lines.push(format!("{name:<12}{}", parts.next().unwrap_or_default()));
            lines.extend(parts.map(|part| format!("{:12}{part}", "")));
        }
    };
    let labels: Vec<_> = task.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let created = full(task.create_time, now).map(|time| match task.creator.as_str() {
        "" => time,
        creator => format!("{time} by {creator}"),
    });
    field("id", Some(task.id.clone()));
    field("state", Some(state(task)));
    field("queue", Some(task.queue.clone()));
    field("kind", Some(task.kind.clone()));
    field("title", Some(task.title.clone()));
    field("description", Some(task.description.clone()));
    field("labels", Some(labels.join("\n")));
    field("priority", Some(task.priority.to_string()));
    field("created", created);
    field("due", full(task.due_time, now));
    field("started", full(task.start_time, now));
    field("finished", full(task.finish_time, now));
    field("timeout", said(task.timeout));
    field("attempts", attempts(task));
    field("version", Some(format!("{}, run {}", task.version, task.run)));
    field("error", Some(task.error.clone()));
    field("payload", Some(String::from_utf8_lossy(&task.payload).into_owned()));
    field("result", Some(String::from_utf8_lossy(&task.result).into_owned()));
    lines.join("\n")
}

/// The state, with the progress of one that runs.
fn state(task: &v1::Task) -> String {
    let state = state_name(task.state);
    match &task.progress {
        Some(progress) if task.state() == v1::TaskState::Running => {
            let message = shorten(&progress.message, TITLE_CHARACTERS_MAX);
            format!("{state} {} % {message}", progress.percent).trim_end().to_owned()
        }
        _ => state,
    }
}

fn attempts(task: &v1::Task) -> Option<String> {
    let retry = task.retry.as_ref()?;
    let spent = format!("{} of {} spent", task.attempt, retry.attempts_max);
    Some(match (said(retry.backoff), said(retry.backoff_max)) {
        (Some(backoff), Some(most)) => format!("{spent}, backoff {backoff} to {most}"),
        _ => spent,
    })
}

fn said(duration: Option<prost_types::Duration>) -> Option<String> {
    convert::duration("duration", duration?).ok().map(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_shown_without_what_it_does_not_have() {
        let shown = v1::Task {
            id: "0190".into(),
            state: 4,
            queue: "q".into(),
            kind: "k".into(),
            description: "two\nlines\x1b[2J".into(),
            labels: [("a".to_owned(), "b".to_owned()), ("c".to_owned(), "d".to_owned())].into(),
            progress: Some(v1::Progress { percent: 40, message: "half".into() }),
            timeout: Some(prost_types::Duration { seconds: 90, nanos: 0 }),
            version: 3,
            run: 1,
            priority: 5,
            ..Default::default()
        };
        assert_eq!(
            task(&shown, Utc::now()),
            "id          0190\nstate       running 40 % half\nqueue       q\nkind        k\n\
             description two\n            lines [2J\nlabels      a=b\n            c=d\npriority    5\n\
             timeout     1m30s\nversion     3, run 1"
        );
        assert_eq!(headline(&shown), "0190  running 40 % half");
    }

    #[test]
    fn a_table_names_the_time_it_shows() {
        let mut table = TaskTable::new(true);
        let task = v1::Task { id: "0190".into(), state: 5, title: "x".repeat(70), ..Default::default() };
        let lines = table.lines(vec![task], Utc::now()).unwrap();
        assert!(lines.starts_with("ID    STATE      QUEUE  KIND  FINISHED  TITLE\n0190  completed"), "{lines}");
        assert!(lines.ends_with("xx…"), "{lines}");
    }
}
