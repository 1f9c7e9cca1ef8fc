//! Field names: the tasks service names fields as in the proto, a REST client knows them by their JSON names.

use taskyard_core::Error;
use taskyard_proto::v1;

/// The proto's name and the JSON name, where they differ.
const NAMES: [(&str, &str); 19] = [
    ("expires_time", "expires_at"),
    ("due_time", "due_at"),
    ("delay", "delay_ms"),
    ("timeout", "timeout_ms"),
    ("retry.backoff", "retry.backoff_ms"),
    ("retry.backoff_max", "retry.backoff_max_ms"),
    ("states", "state"),
    ("task.timeout", "task.timeout_ms"),
    ("task.retry.backoff", "task.retry.backoff_ms"),
    ("task.retry.backoff_max", "task.retry.backoff_max_ms"),
    ("times.every", "times.every_ms"),
    ("times.anchor_time", "times.anchor_at"),
    ("times.once_time", "times.once_at"),
    ("times.start_time", "times.starts_at"),
    ("times.end_time", "times.ends_at"),
    ("jitter", "jitter_ms"),
    ("after_time", "after"),
    ("query", "q"),
    ("filter.states", "filter.state"),
];

/// An error of the tasks service, with JSON names.
pub(crate) fn named_in_rest(mut error: Error) -> Error {
    let Some(first) = error.violations.first() else { return error };
    if let Some(rest) = error.message.strip_prefix(&first.field) {
        error.message = format!("{}{rest}", json_name(&first.field));
    }
    for violation in &mut error.violations {
        violation.field = json_name(&violation.field).to_owned();
    }
    error
}

/// Why an item was refused, with JSON names.
pub(crate) fn item_in_rest(mut error: v1::ItemError) -> v1::ItemError {
    if let Some(rest) = error.message.strip_prefix(&error.field).filter(|_| !error.field.is_empty()) {
        error.message = format!("{}{rest}", json_name(&error.field));
    }
    error.field = json_name(&error.field).to_owned();
    error
}

fn json_name(field: &str) -> &str {
    NAMES.iter().find(|(proto, _)| *proto == field).map_or(field, |(_, json)| json)
}

#[cfg(test)]
mod tests {
    use taskyard_core::error::Violation;

    use super::*;

    #[test]
    fn fields_have_their_json_names() {
        let mut error = Error::invalid("retry.backoff", "is 0 ms");
        error.violations.push(Violation { field: "title".into(), message: "x".into() });
        let error = named_in_rest(error);
        assert_eq!(error.message, "retry.backoff_ms: is 0 ms");
        assert_eq!(error.violations[0].field, "retry.backoff_ms");
        assert_eq!(error.violations[1].field, "title");
        assert_eq!(named_in_rest(Error::task_not_found(1)).message, "there is no task 1");
    }
}
