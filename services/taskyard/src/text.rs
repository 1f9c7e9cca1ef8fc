//! Answers for people: aligned columns, relative times, and nothing that a terminal would take for a command.

mod clean;
mod event;
mod hit;
mod name;
mod queue;
mod table;
mod task;
mod time;

pub use clean::{clean, shorten};
pub use event::{event, progress};
pub use hit::hit;
pub use name::{event_name, state_name};
pub use queue::QueueTable;
pub use task::{TaskTable, headline, task};
pub use time::{clock, length};
