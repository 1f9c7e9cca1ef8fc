//! Schemas of values that many routes have, with their true limits.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};
use taskyard_core::{
    EventType, TaskState,
    limits::{
        DUE_AHEAD_MAX, LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX,
        NAMESPACE_NAME_BYTES_MAX, NAMESPACE_NAME_BYTES_MIN,
    },
};

/// The name of a queue or kind.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]*$";
/// The same, or nothing.
const NAME_OR_NONE: &str = "^([A-Za-z0-9][A-Za-z0-9._-]*)?$";
/// A position in the order of events.
const POSITION: &str = r"^([0-9]+\.[0-9]+\.[0-9]+)?$";
/// The longest time to a start, in milliseconds.
pub(crate) const DELAY_MS_MAX: u64 = DUE_AHEAD_MAX.as_secs() * 1_000;

/// A name in a path.
pub(crate) fn name() -> Value {
    json!({ "type": "string", "pattern": NAME, "maxLength": NAME_BYTES_MAX })
}

/// A namespace's name.
pub(crate) fn namespace_name() -> Value {
    json!({
        "type": "string",
        "pattern": "^[a-z][a-z0-9-]*[a-z0-9]$",
        "minLength": NAMESPACE_NAME_BYTES_MIN,
        "maxLength": NAMESPACE_NAME_BYTES_MAX,
    })
}

/// An id that we made.
pub(crate) fn uuid() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

/// Labels in a query, each in a parameter of its own.
pub(crate) fn label() -> Value {
    json!({
        "type": "array",
        "items": { "type": "string", "pattern": "^[^:]+:", "example": "team:growth" },
        "maxItems": LABELS_MAX,
    })
}

/// A name that is looked for; all if it is empty.
pub(crate) fn name_or_none() -> Value {
    json!({ "type": "string", "pattern": NAME_OR_NONE, "maxLength": NAME_BYTES_MAX })
}

/// A position that is read on from; the beginning if it is empty.
pub(crate) fn position() -> Value {
    json!({ "type": "string", "pattern": POSITION, "example": "1.7413.1" })
}

/// A time in a query.
pub(crate) fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// The size of a page; 0 is the default.
pub(crate) fn page_size(default: u32, max: u32) -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": max, "default": default })
}

pub(super) fn required_name(_: &mut SchemaGenerator) -> Schema {
    schema(name())
}

pub(super) fn optional_name(_: &mut SchemaGenerator) -> Schema {
    schema(json!({ "type": ["string", "null"], "pattern": NAME_OR_NONE, "maxLength": NAME_BYTES_MAX }))
}

pub(super) fn state(_: &mut SchemaGenerator) -> Schema {
    schema(json!({ "type": "string", "enum": states() }))
}

pub(super) fn optional_state(_: &mut SchemaGenerator) -> Schema {
    let states: Vec<_> = states().into_iter().map(Some).chain([None]).collect();
    schema(json!({ "type": ["string", "null"], "enum": states }))
}

/// One state, or a list.
pub(super) fn state_or_states(_: &mut SchemaGenerator) -> Schema {
    let state = json!({ "type": "string", "enum": states() });
    schema(json!({ "anyOf": [state, { "type": "array", "items": state }] }))
}

pub(super) fn event_type(_: &mut SchemaGenerator) -> Schema {
    schema(json!({ "type": "string", "enum": EventType::ALL.map(EventType::as_str) }))
}

/// Labels that are looked for.
pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    schema(json!({
        "type": "object",
        "maxProperties": LABELS_MAX,
        "propertyNames": label_key(),
        "additionalProperties": label_value(json!("string")),
    }))
}

pub(super) fn optional_labels(_: &mut SchemaGenerator) -> Schema {
    schema(json!({
        "type": ["object", "null"],
        "maxProperties": LABELS_MAX,
        "propertyNames": label_key(),
        "additionalProperties": label_value(json!("string")),
    }))
}

/// Labels that are set, and with `null` those that are removed.
pub(crate) fn label_changes(_: &mut SchemaGenerator) -> Schema {
    schema(json!({
        "type": ["object", "null"],
        "maxProperties": 2 * LABELS_MAX,
        "propertyNames": label_key(),
        "additionalProperties": label_value(json!(["string", "null"])),
    }))
}

fn label_key() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": LABEL_KEY_BYTES_MAX, "x-bytes-max": LABEL_KEY_BYTES_MAX })
}

fn label_value(kind: Value) -> Value {
    json!({ "type": kind, "maxLength": LABEL_VALUE_BYTES_MAX, "x-bytes-max": LABEL_VALUE_BYTES_MAX })
}

fn states() -> [&'static str; 7] {
    TaskState::ALL.map(TaskState::as_str)
}

fn schema(value: Value) -> Schema {
    // An object always is a schema.
    Schema::try_from(value).unwrap_or_default()
}
