//! Flags that select tasks.

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use taskyard_client::v1;
use taskyard_core::TaskState;
use taskyard_proto::convert::{state_to_proto, timestamp_to_proto};

use crate::read::{Label, ago_or_time, label};

/// Which tasks. Several conditions are joined by "and".
#[derive(clap::Args, Clone, Debug, Default)]
pub struct FilterArgs {
    /// In this queue
    #[arg(long, default_value = "", hide_default_value = true, value_name = "QUEUE")]
    pub queue: String,
    /// Of this kind
    #[arg(long, default_value = "", hide_default_value = true, value_name = "KIND")]
    pub kind: String,
    /// Created at or after this time, or at most this long ago, like 2h
    #[arg(long, value_parser = ago_or_time, value_name = "TIME")]
    pub created_after: Option<DateTime<Utc>>,
    /// Created before this time, or more than this long ago
    #[arg(long, value_parser = ago_or_time, value_name = "TIME")]
    pub created_before: Option<DateTime<Utc>>,
    /// Finished at or after this time, or at most this long ago
    #[arg(long, value_parser = ago_or_time, value_name = "TIME")]
    pub finished_after: Option<DateTime<Utc>>,
    /// Finished before this time, or more than this long ago
    #[arg(long, value_parser = ago_or_time, value_name = "TIME")]
    pub finished_before: Option<DateTime<Utc>>,
    /// With this label, like team=growth; repeat it for more
    #[arg(long = "label", value_parser = label, value_name = "KEY=VALUE")]
    pub labels: Vec<Label>,
    /// Created by this one
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub creator: String,
}

impl FilterArgs {
    /// As the API wants it, with these states; all if there are none.
    pub fn into_filter(self, states: &[TaskState]) -> v1::TaskFilter {
        v1::TaskFilter {
            states: states.iter().map(|state| state_to_proto(*state).into()).collect(),
            queue: self.queue,
            kind: self.kind,
            created_after: self.created_after.map(timestamp_to_proto),
            created_before: self.created_before.map(timestamp_to_proto),
            finished_after: self.finished_after.map(timestamp_to_proto),
            finished_before: self.finished_before.map(timestamp_to_proto),
            labels: self.labels.into_iter().collect(),
            creator: self.creator,
        }
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Order {
    /// The newest first
    CreatedDesc,
    /// The oldest first
    CreatedAsc,
    /// Finished tasks, the last one first
    FinishedDesc,
    /// Finished tasks, the first one first
    FinishedAsc,
}

impl Order {
    /// As the API wants it.
    pub const fn number(self) -> i32 {
        let order = match self {
            Self::CreatedDesc => v1::TaskOrder::CreatedDesc,
            Self::CreatedAsc => v1::TaskOrder::CreatedAsc,
            Self::FinishedDesc => v1::TaskOrder::FinishedDesc,
            Self::FinishedAsc => v1::TaskOrder::FinishedAsc,
        };
        order as i32
    }

    /// By the time of the end.
    pub const fn is_by_end(self) -> bool {
        matches!(self, Self::FinishedDesc | Self::FinishedAsc)
    }
}
