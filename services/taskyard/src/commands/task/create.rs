//! `taskyard task create`.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use chrono::{DateTime, Utc};
use taskyard_client::v1;
use taskyard_core::limits;
use taskyard_proto::convert::{duration_to_proto, timestamp_to_proto};

use super::wait;
use crate::{
    exit::Outcome,
    json,
    output::{Output, note},
    read::{Document, Label, duration, label, time},
    server::ServerArgs,
    text,
};

/// The new task.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: taskyard task create --kind sleep --payload '{\"ms\": 3000, \"steps\": 10}' --wait")]
pub struct Args {
    /// What a worker must know how to run; `manual` for people
    #[arg(long, value_name = "KIND")]
    kind: String,
    /// The queue; `default` if not given
    #[arg(long, default_value = "", hide_default_value = true, value_name = "QUEUE")]
    queue: String,
    /// For people
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    title: String,
    /// For people
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    description: String,
    /// What the worker is given: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON")]
    payload: Option<Document>,
    /// A label, like team=growth; repeat it for more
    #[arg(long = "label", value_parser = label, value_name = "KEY=VALUE")]
    labels: Vec<Label>,
    /// 0 to 9, higher first; 5 if not given
    #[arg(long, value_name = "NUMBER")]
    priority: Option<u32>,
    /// Start no earlier than this long from now, like 10m
    #[arg(long, value_parser = duration, value_name = "DURATION", conflicts_with = "due")]
    delay: Option<Duration>,
    /// Start no earlier than this, like 2026-01-31T12:00:00Z
    #[arg(long, value_parser = time, value_name = "TIME")]
    due: Option<DateTime<Utc>>,
    /// The longest that one run may take; 1h if not given
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    timeout: Option<Duration>,
    /// How often it is tried; 10 if not given
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    attempts: Option<u32>,
    /// The delay before the first retry, which doubles with each; 1s if not given
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    backoff: Option<Duration>,
    /// The longest delay before a retry; 1h if not given
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    backoff_max: Option<Duration>,
    /// An id of your choice, a UUID of version 7
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    id: String,
    /// A create with a key that is known from the last 24 hours answers with the task that is there
    #[arg(long, default_value = "", hide_default_value = true, value_name = "KEY")]
    idempotency_key: String,
    /// Wait for the task's end and show it; exits with 1 unless it is completed
    #[arg(long)]
    wait: bool,
}

/// Creates it.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let wait = args.wait;
    let may_be_known = !args.id.is_empty() || !args.idempotency_key.is_empty();
    let task = args.into_task()?;
    let client = server.connect().await?;
    let response = client.create_task(task).await?;
    let task = response.task.unwrap_or_default();
    let mut output = server.output();
    if wait {
        return wait::for_end(&client, &task.id, &mut output).await;
    }
    if !response.created && may_be_known {
        note("the task was there already");
    }
    show(&mut output, task)?;
    Ok(ExitCode::SUCCESS)
}

fn show(output: &mut Output, task: v1::Task) -> Result<()> {
    if output.is_json() {
        output.json(&json::Task::from(task))?;
    } else {
        output.line(&text::headline(&task))?;
    }
    output.flush()
}

impl Args {
    fn into_task(self) -> Result<v1::NewTask> {
        let payload = self.payload.map(|payload| payload.read("--payload", limits::PAYLOAD_BYTES_MAX)).transpose()?;
        let retry = (self.attempts.is_some() || self.backoff.is_some() || self.backoff_max.is_some()).then(|| {
            v1::RetryPolicy {
                attempts_max: self.attempts.unwrap_or_default(),
                backoff: self.backoff.map(duration_to_proto),
                backoff_max: self.backoff_max.map(duration_to_proto),
            }
        });
        Ok(v1::NewTask {
            id: self.id,
            idempotency_key: self.idempotency_key,
            queue: self.queue,
            kind: self.kind,
            title: self.title,
            description: self.description,
            payload: payload.unwrap_or_default().into(),
            labels: self.labels.into_iter().collect(),
            priority: self.priority,
            due_time: self.due.map(timestamp_to_proto),
            delay: self.delay.map(duration_to_proto),
            timeout: self.timeout.map(duration_to_proto),
            retry,
        })
    }
}
