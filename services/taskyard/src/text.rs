//! Answers for people: aligned columns, relative times, and nothing that a terminal would take for a command.

mod administration;
mod clean;
mod event;
mod hit;
mod key;
mod name;
mod namespace;
mod queue;
mod schedule;
mod table;
mod task;
mod time;

pub use administration::{AuditTable, NamespaceOverviewTable, UserTable};
pub use clean::{clean, shorten};
pub use event::{event, progress};
pub use hit::hit;
pub use key::KeyTable;
pub use name::{catch_up_name, event_name, overlap_name, role_name, state_name, tick_kind_name};
pub use namespace::{InvitationTable, MemberTable, NamespaceTable};
pub use queue::QueueTable;
pub use schedule::{ScheduleTable, schedule, tick_time};
pub use task::{TaskTable, headline, task};
pub use time::{clock, length};
