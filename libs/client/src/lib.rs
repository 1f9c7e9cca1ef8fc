//! Taskyard for anybody's program: hand in tasks and watch them ([`Client`]), or be a worker ([`worker`]).
//!
//! Both talk gRPC through [`Pods`], which knows the pods behind one or more URLs, keeps away from those that fail, and
//! repeats elsewhere what one of them could not answer.
//!
//! Never in here: a server, a framework, configuration from the environment, or anything that only our own services
//! need.

mod backoff;
mod client;
mod endpoint;
mod error;
mod pods;
mod token;
pub mod worker;

pub use client::{CancelTasks, Client, CompleteTasks, RetryTasks, Sweep, SweepCommand, Watch, WatchMessage};
pub use pods::{PodChannel, Pods};
pub use taskyard_core::{Error, ErrorCode, Result};
pub use taskyard_proto::v1;
pub use token::Token;
