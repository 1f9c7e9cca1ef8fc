//! Between the messages of `proto/` and core types.
//!
//! What comes in is checked here, once, against every rule of [`taskyard_core::limits`]: any message gives a value or
//! an error that names the field, never a panic. What goes out cannot fail.

mod event;
mod filter;
mod new_task;
mod schedule;
mod task;
mod time;
mod update;
mod violations;

pub use event::{event_from_record, event_type_to_proto, position_from_bus, position_to_bus, read_position};
pub use filter::{filter, order};
pub use new_task::{fingerprint, new_task, read_new_task_id};
pub use schedule::{next_times_count, schedule_definition, schedule_times, schedule_to_proto};
pub use task::{item_error, optional_state_to_proto, read_task_id, read_uuid, state, state_to_proto, task_to_proto};
pub use time::{duration, duration_to_proto, timestamp, timestamp_to_proto};
pub use update::{Update, update};
