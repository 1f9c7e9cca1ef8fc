//! Events, as the bus carries them and as the API shows them.

use chrono::DateTime;
use taskyard_core::{Error, EventType, Position, Result};
use uuid::Uuid;

use super::timestamp_to_proto;
use crate::{internal, v1};

/// Reads a position that a client sent; `None` if it is empty.
///
/// # Errors
/// If it is not one of ours.
pub fn read_position(field: &str, text: &str) -> Result<Option<Position>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| Error::invalid(field, format!("{error}; give back one that was answered")))
}

/// A position as the bus carries it.
#[must_use]
pub const fn position_to_bus(position: Position) -> internal::EventPosition {
    internal::EventPosition { epoch: position.epoch, xact: position.xact, seq: position.seq }
}

/// A position that the bus carried.
#[must_use]
pub const fn position_from_bus(position: internal::EventPosition) -> Position {
    Position { epoch: position.epoch, xact: position.xact, seq: position.seq }
}

/// An event's type as a message holds it.
#[must_use]
pub const fn event_type_to_proto(kind: EventType) -> v1::EventType {
    match kind {
        EventType::Created => v1::EventType::Created,
        EventType::Due => v1::EventType::Due,
        EventType::Started => v1::EventType::Started,
        EventType::Returned => v1::EventType::Returned,
        EventType::Retrying => v1::EventType::Retrying,
        EventType::Completed => v1::EventType::Completed,
        EventType::Dead => v1::EventType::Dead,
        EventType::Canceled => v1::EventType::Canceled,
        EventType::Updated => v1::EventType::Updated,
        EventType::Deleted => v1::EventType::Deleted,
    }
}

/// An event of the bus as the API shows it, its namespace by name. Types and states that a newer pod wrote are passed
/// on by number.
///
/// # Errors
/// If it lacks a position, its task is not a UUID, or its time or a counter is out of range.
pub fn event_from_record(record: internal::EventRecord, namespace: &str) -> Result<v1::Event> {
    let broken = |field: &str| Error::internal(format!("an event record's {field} cannot be read"));
    let counter = |field, number: i32| u32::try_from(number).map_err(|_| broken(field));
    let position = record.position.map(position_from_bus).ok_or_else(|| broken("position"))?;
    let time = DateTime::from_timestamp_micros(record.time_us).ok_or_else(|| broken("time"))?;
    let task = Uuid::from_slice(&record.task).map_err(|_| broken("task"))?;
    Ok(v1::Event {
        position: position.to_string(),
        time: Some(timestamp_to_proto(time)),
        r#type: record.r#type,
        namespace: namespace.to_owned(),
        task_id: task.to_string(),
        version: counter("version", record.version)?,
        from_state: record.from_state,
        to_state: record.to_state,
        queue: record.queue,
        kind: record.kind,
        title: record.title,
        labels: record.labels,
        creator: record.creator,
        run: counter("run", record.run)?,
        attempt: counter("attempt", record.attempt)?,
        error: record.error,
        reason: record.reason,
        counted: record.counted,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn types_have_the_numbers_of_the_proto() {
        for kind in EventType::ALL {
            assert_eq!(i32::from(event_type_to_proto(kind)), i32::from(kind as i16));
            let name = kind.as_str().trim_start_matches("task.").to_uppercase();
            assert_eq!(event_type_to_proto(kind).as_str_name(), format!("EVENT_TYPE_{name}"));
        }
    }

    proptest! {
        #[test]
        fn any_record_is_read_or_refused(
            epoch in any::<i32>(), xact in any::<i64>(), time_us in any::<i64>(), version in any::<i32>(),
            kind in any::<i32>(), task in prop::collection::vec(any::<u8>(), 14..18), located in any::<bool>(),
        ) {
            let position = located.then_some(internal::EventPosition { epoch, xact, seq: 0 });
            let id = Uuid::from_slice(&task);
            let record = internal::EventRecord {
                position, time_us, version, r#type: kind, task: task.into(), ..Default::default()
            };
            if let Ok(event) = event_from_record(record, "default") {
                prop_assert_eq!(event.task_id, id.unwrap().to_string());
                prop_assert!(located && version >= 0);
            }
        }

        #[test]
        fn a_position_survives_the_bus(epoch in any::<i32>(), xact in any::<i64>(), seq in any::<i64>()) {
            let position = Position { epoch, xact, seq };
            prop_assert_eq!(position_from_bus(position_to_bus(position)), position);
        }

        #[test]
        fn any_text_is_a_position_or_refused(text in ".{0,40}") {
            let _ = read_position("position", &text);
        }
    }
}
