//! What names a run for ever.

use std::fmt;

use taskyard_core::{Result, id};
use taskyard_proto::v1;
use uuid::Uuid;

/// A run: the n-th start of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RunName {
    pub task_id: Uuid,
    pub run: u32,
}

impl RunName {
    /// Reads what a pod sent.
    pub fn parse(task_id: &str, run: u32) -> Result<Self> {
        Ok(Self { task_id: id::parse_task_id("task_id", task_id)?, run })
    }

    pub fn to_proto(self) -> v1::RunName {
        v1::RunName { task_id: self.task_id.to_string(), run: self.run }
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.task_id, self.run)
    }
}
