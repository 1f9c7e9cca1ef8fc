//! What the tests across services share: a stack of tasks pods, in this process or as processes of their own, a
//! worker that speaks the protocol by hand, a load of tasks, and the history that it leaves.
//!
//! Never in here: an assertion about the system.
#![allow(clippy::missing_errors_doc, missing_docs, reason = "read by tests only")]

mod clock;
mod history;
mod key;
mod listener;
mod load;
mod pods;
mod setup;
mod tasks;
mod times;
mod worker;

pub use clock::Clock;
pub use history::{Happened, History};
pub use key::{Calls, KEY, Shown, WORKER_KEY, token};
pub use listener::{Heard, Listener};
pub use load::{Load, LoadOptions, Told};
pub use pods::{Pod, PodProcess, Stack};
pub use setup::{Answer, SOON, Setup, create_on, read};
pub use tasks::{manual, new_task, noop, retry_policy};
pub use times::{millis, seconds, time, timestamp};
pub use worker::{RawWorker, WorkerOptions};
