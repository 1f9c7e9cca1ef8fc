//! `taskyard task update`.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use taskyard_client::{Client, ErrorCode, v1};
use taskyard_core::limits;
use taskyard_proto::convert::timestamp_to_proto;

use crate::{
    exit::{Outcome, Usage},
    json,
    read::{Label, duration, label, time},
    server::ServerArgs,
    text,
};

/// How often labels are merged anew because somebody else changed the task meanwhile.
const MERGES_MAX: usize = 5;

/// Which task, and its changes. What is not given stays.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The task's id
    id: String,
    /// The new title
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// The new description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Adds or changes a label; repeat it for more
    #[arg(long = "label", value_parser = label, value_name = "KEY=VALUE")]
    labels: Vec<Label>,
    /// Removes a label; repeat it for more
    #[arg(long = "remove-label", value_name = "KEY")]
    removed_labels: Vec<String>,
    /// 0 to 9, higher first
    #[arg(long, value_name = "NUMBER")]
    priority: Option<u32>,
    /// Start no earlier than this
    #[arg(long, value_parser = time, value_name = "TIME")]
    due: Option<DateTime<Utc>>,
    /// Start no earlier than this long from now; 0s for now
    #[arg(long, value_parser = duration, value_name = "DURATION", conflicts_with = "due")]
    delay: Option<Duration>,
    /// Refuse unless the task has this version
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,
}

/// Changes it.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let (update, paths) = args.update()?;
    let client = server.connect().await?;
    let task = if args.changes_labels() {
        args.merge_labels(&client, update, paths).await?
    } else {
        client.update_task(args.request(update, paths, args.version)).await?
    };
    let mut output = server.output();
    if output.is_json() {
        output.json(&json::Task::from(task))?;
    } else {
        output.line(&text::headline(&task))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn changes_labels(&self) -> bool {
        !self.labels.is_empty() || !self.removed_labels.is_empty()
    }

    /// The new values, and the names of what changes.
    fn update(&self) -> Result<(v1::TaskUpdate, Vec<String>)> {
        let ahead =
            |delay: Duration| TimeDelta::from_std(delay).ok().and_then(|delay| Utc::now().checked_add_signed(delay));
        let due = match self.delay {
            Some(delay) => Some(ahead(delay).ok_or_else(|| {
                Usage::error(format!(
                    "--delay is too long; at most {} are allowed",
                    text::length(limits::DUE_AHEAD_MAX)
                ))
            })?),
            None => self.due,
        };
        let update = v1::TaskUpdate {
            title: self.title.clone().unwrap_or_default(),
            description: self.description.clone().unwrap_or_default(),
            labels: BTreeMap::new(),
            priority: self.priority.unwrap_or_default(),
            due_time: due.map(timestamp_to_proto),
        };
        let changes = [
            ("title", self.title.is_some()),
            ("description", self.description.is_some()),
            ("labels", self.changes_labels()),
            ("priority", self.priority.is_some()),
            ("due_time", due.is_some()),
        ];
        let paths: Vec<_> =
            changes.into_iter().filter(|(_, changes)| *changes).map(|(name, _)| name.to_owned()).collect();
        if paths.is_empty() {
            return Err(Usage::error(
                "nothing to change; give --title, --description, --label, --remove-label, --priority, --due or --delay",
            ));
        }
        Ok((update, paths))
    }

    fn request(&self, update: v1::TaskUpdate, paths: Vec<String>, version: Option<u32>) -> v1::UpdateTaskRequest {
        v1::UpdateTaskRequest {
            id: self.id.clone(),
            task: Some(update),
            update_mask: Some(prost_types::FieldMask { paths }),
            version: version.unwrap_or_default(),
        }
    }

    /// The API sets all labels at once: they are read, changed, and written if nobody else was quicker.
    async fn merge_labels(&self, client: &Client, update: v1::TaskUpdate, paths: Vec<String>) -> Result<v1::Task> {
        let mut merges_left = MERGES_MAX;
        loop {
            let task = client.get_task(&self.id).await?;
            let mut labels = task.labels;
            labels.retain(|key, _| !self.removed_labels.contains(key));
            labels.extend(self.labels.iter().cloned());
            let update = v1::TaskUpdate { labels, ..update.clone() };
            let version = self.version.unwrap_or(task.version);
            merges_left -= 1;
            match client.update_task(self.request(update, paths.clone(), Some(version))).await {
                Err(error) if error.code == ErrorCode::VersionMismatch && self.version.is_none() && merges_left > 0 => {
                }
                done => return Ok(done?),
            }
        }
    }
}
