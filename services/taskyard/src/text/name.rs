//! Names of numbers.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_newer_server_are_shown() {
        assert_eq!((state_name(6), state_name(99)), ("dead".into(), "unknown_99".into()));
        assert_eq!((event_name(6), event_name(-1)), ("task.completed".into(), "unknown_-1".into()));
    }
}
