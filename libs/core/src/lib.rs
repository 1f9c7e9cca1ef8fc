//! The rules of Taskyard without any network: ids, the task's state machine, retry times, schedules, limits, error
//! codes.
//!
//! Never in here: another crate of ours, nor tonic, axum, sqlx, kube or anything that does I/O.

pub mod error;
pub mod event;
pub mod id;
pub mod identity;
pub mod life;
pub mod limits;
pub mod retry;
pub mod schedule;
pub mod state;
pub mod task;

pub use error::{Error, ErrorCode, Result};
pub use event::{EventType, Position};
pub use identity::Identity;
pub use life::{Command, Life};
pub use retry::RetryPolicy;
pub use state::TaskState;
