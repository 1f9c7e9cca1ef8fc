//! What a list shows, and in which order.

use std::collections::BTreeMap;

use taskyard_core::{
    Error, Result, limits,
    task::{Filter, Order},
};

use super::{state, timestamp};
use crate::v1;

/// Reads a filter; none selects all.
///
/// # Errors
/// If a state is unknown, a name, label or creator cannot be one, or a time is out of range.
pub fn filter(filter: Option<v1::TaskFilter>) -> Result<Filter> {
    let Some(filter) = filter else { return Ok(Filter::default()) };
    let time = |field, value: Option<_>| value.map(|value| timestamp(field, value)).transpose();
    let mut states = Vec::new();
    for number in filter.states {
        let known = state(number)
            .ok_or_else(|| Error::invalid("states", format!("{number} is not a state; known are 1 to 7")))?;
        if !states.contains(&known) {
            states.push(known);
        }
    }
    Ok(Filter {
        states,
        queue: name("queue", filter.queue)?,
        kind: name("kind", filter.kind)?,
        created_after: time("created_after", filter.created_after)?,
        created_before: time("created_before", filter.created_before)?,
        finished_after: time("finished_after", filter.finished_after)?,
        finished_before: time("finished_before", filter.finished_before)?,
        labels: labels(filter.labels)?,
        creator: creator(filter.creator)?,
    })
}

/// Reads an order.
///
/// # Errors
/// If this version does not know it.
pub fn order(number: i32) -> Result<Order> {
    match v1::TaskOrder::try_from(number) {
        Ok(v1::TaskOrder::Unspecified | v1::TaskOrder::CreatedDesc) => Ok(Order::CreatedDesc),
        Ok(v1::TaskOrder::CreatedAsc) => Ok(Order::CreatedAsc),
        Ok(v1::TaskOrder::FinishedDesc) => Ok(Order::FinishedDesc),
        Ok(v1::TaskOrder::FinishedAsc) => Ok(Order::FinishedAsc),
        Err(_) => Err(Error::invalid("order", format!("{number} is not an order; known are 0 to 4"))),
    }
}

fn labels(labels: BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    limits::check_labels(&labels)?;
    Ok(labels)
}

fn creator(creator: String) -> Result<Option<String>> {
    limits::check_text("creator", &creator, limits::CREATOR_BYTES_MAX)?;
    Ok(Some(creator).filter(|creator| !creator.is_empty()))
}

fn name(field: &str, name: String) -> Result<Option<String>> {
    if name.is_empty() {
        return Ok(None);
    }
    limits::check_name(field, &name)?;
    Ok(Some(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use taskyard_core::TaskState;

    use super::*;

    proptest! {
        #[test]
        fn any_filter_is_read_or_refused(
            states in prop::collection::vec(-1..9i32, 0..10), queue in ".{0,70}", kind in ".{0,70}",
            seconds in any::<i64>(), nanos in any::<i32>(), number in any::<i32>(), label in ".{0,70}", creator in ".{0,300}",
        ) {
            let time = Some(prost_types::Timestamp { seconds, nanos });
            let labels = BTreeMap::from([(label, String::new())]);
            let given = v1::TaskFilter {
                states: states.clone(), queue, kind, created_after: time, labels, creator, ..Default::default()
            };
            if let Ok(read) = filter(Some(given)) {
                prop_assert!(!read.labels.keys().any(|key| key.is_empty() || key.contains('\0')));
                prop_assert!(states.iter().all(|number| (1..=7).contains(number)));
                prop_assert!(read.states.len() <= 7);
            }
            prop_assert_eq!(order(number).is_ok(), (0..=4).contains(&number));
        }
    }

    #[test]
    fn nothing_selects_all() {
        assert_eq!(filter(None).unwrap(), Filter::default());
        assert_eq!(filter(Some(v1::TaskFilter::default())).unwrap(), Filter::default());
    }

    #[test]
    fn a_state_given_twice_counts_once() {
        let given = v1::TaskFilter { states: vec![6, 6, 1], ..Default::default() };
        assert_eq!(filter(Some(given)).unwrap().states, [TaskState::Dead, TaskState::Open]);
    }
}
