//! JSON for scripts, the same as REST shows it: times as RFC 3339 texts (`…_at`), durations as numbers with their unit
//! in the name, payloads and results as they are. A test compares the two.

mod account;
mod administration;
mod event;
mod hit;
mod import;
mod queue;
mod schedule;
mod task;
mod time;

pub use account::{Invitation, InvitationSecret, Key, KeySecret, Me, Member, Namespace};
pub use administration::{AuditEntry, NamespaceOverview, UserOverview};
pub use event::{Event, Mark};
pub use hit::Hit;
pub use import::{Imported, LineError, Reason};
pub use queue::Queue;
pub use schedule::{NextTimes, Schedule};
pub use task::Task;
