//! Names of numbers.

use taskyard_client::v1;
use taskyard_core::{EventType, TaskState};

/// The name of a state; one of a newer server has its number.
pub fn state_name(number: i32) -> String {
    let state = i16::try_from(number).ok().and_then(TaskState::from_number);
    state.map_or_else(|| format!("unknown_{number}"), |state| state.as_str().to_owned())
}

/// The name of a type of event; one of a newer server has its number.
pub fn event_name(number: i32) -> String {
    let kind = i16::try_from(number).ok().and_then(EventType::from_number);
    kind.map_or_else(|| format!("unknown_{number}"), |kind| kind.as_str().to_owned())
}

/// The name of a policy for missed ticks; one of a newer server has its number.
pub fn catch_up_name(number: i32) -> String {
    named(number, v1::CatchUp::try_from(number).ok().map(|policy| policy.as_str_name()), "CATCH_UP_")
}

/// The name of a policy for ticks while the last task is not finished; one of a newer server has its number.
pub fn overlap_name(number: i32) -> String {
    named(number, v1::Overlap::try_from(number).ok().map(|policy| policy.as_str_name()), "OVERLAP_")
}

/// The name of what became of a tick; one of a newer server has its number.
pub fn tick_kind_name(number: i32) -> String {
    named(number, v1::TickKind::try_from(number).ok().map(|kind| kind.as_str_name()), "TICK_KIND_")
}

/// The name of a role; one of a newer server has its number.
pub fn role_name(number: i32) -> String {
    named(number, v1::Role::try_from(number).ok().map(|role| role.as_str_name()), "ROLE_")
}

/// The proto's name without its prefix, in small letters.
fn named(number: i32, name: Option<&str>, prefix: &str) -> String {
    let name = name.and_then(|name| name.strip_prefix(prefix));
    name.map_or_else(|| format!("unknown_{number}"), str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_newer_server_are_shown() {
        assert_eq!((state_name(6), state_name(99)), ("dead".into(), "unknown_99".into()));
        assert_eq!((catch_up_name(3), overlap_name(2)), ("all".into(), "skip".into()));
        assert_eq!((tick_kind_name(1), tick_kind_name(99)), ("on_time".into(), "unknown_99".into()));
        assert_eq!((event_name(6), event_name(-1)), ("task.completed".into(), "unknown_-1".into()));
    }
}
