//! JSON as clients see it: names as in the proto, times as RFC 3339 texts (`…_at`), durations as numbers with their unit
//! in the name, payloads and results as they are.

pub(crate) mod described;
mod event;
mod field;
mod filter;
mod new_task;
mod queue;
mod task;
mod time;

pub(crate) use event::Events;
pub(crate) use field::{item_in_rest, named_in_rest};
pub(crate) use filter::{Filter, Order, Selection};
pub(crate) use new_task::NewTask;
pub(crate) use queue::{Queue, Queues};
pub(crate) use task::{Task, Tasks};
