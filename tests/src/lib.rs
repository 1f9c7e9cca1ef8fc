//! What the tests across services share: a stack of tasks pods, in this process or as processes of their own, and a
//! worker that speaks the protocol by hand.
//!
//! Never in here: an assertion about the system.
#![allow(clippy::missing_errors_doc, missing_docs, reason = "read by tests only")]

mod pods;
mod tasks;
mod worker;

pub use pods::{Pod, PodProcess, Stack};
pub use tasks::{manual, new_task, noop};
pub use worker::{RawWorker, WorkerOptions};
