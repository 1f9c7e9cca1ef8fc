//! JSON as clients see it: names as in the proto, times as RFC 3339 texts (`…_at`), durations as numbers with their unit
//! in the name, payloads and results as they are.

mod account;
mod administration;
pub(crate) mod described;
mod event;
mod field;
mod filter;
mod hit;
mod new_schedule;
mod new_task;
mod queue;
mod schedule;
mod task;
mod time;

pub(crate) use account::{
    InvitationSecret, Invitations, Key, KeySecret, Keys, Me, Member, Members, Namespace, Namespaces, Role, SignIns,
    SignedIn, Tokens, User,
};
pub(crate) use administration::{AuditEntries, NamespaceOverviews, NewQuota, UserOverviews};
pub(crate) use event::Events;
pub(crate) use field::{item_in_rest, named_in_rest};
pub(crate) use filter::{Filter, Order, Selection};
pub(crate) use hit::Hits;
pub(crate) use new_schedule::{NewSchedule, Preview, ScheduleDefinition};
pub(crate) use new_task::NewTask;
pub(crate) use queue::{Queue, Queues};
pub(crate) use schedule::{NextTimes, Schedule, Schedules, Triggered};
pub(crate) use task::{Task, Tasks};
