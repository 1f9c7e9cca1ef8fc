//! Errors as answers: one for each status of an operation, with the codes that it can have.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use taskyard_core::ErrorCode;
use taskyard_runtime::http_error;

/// The name of the schema of problem documents.
pub(super) const PROBLEM: &str = "Problem";

/// The answers of an operation that are errors, by status. Each is kept once for the whole document.
pub(super) fn answers(errors: &BTreeSet<(u16, &'static str)>, kept: &mut Map<String, Value>) -> BTreeMap<u16, Value> {
    let mut by_status = BTreeMap::<u16, Vec<ErrorCode>>::new();
    for (status, code) in errors {
        by_status.entry(*status).or_default().extend(ErrorCode::parse(code));
    }
    by_status
        .into_iter()
        .map(|(status, codes)| {
            let name = name(status, &codes);
            kept.entry(name.clone()).or_insert_with(|| answer(status, &codes));
            (status, json!({ "$ref": format!("#/components/responses/{name}") }))
        })
        .collect()
}

/// Names are letters and digits: `404TaskNotFound`.
fn name(status: u16, codes: &[ErrorCode]) -> String {
    let names: Vec<_> = codes.iter().map(|code| format!("{code:?}")).collect();
    format!("{status}{}", names.join("Or"))
}

fn answer(status: u16, codes: &[ErrorCode]) -> Value {
    let titles: Vec<_> = codes.iter().map(|code| http_error::title(*code)).collect();
    let names: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    let mut headers = Map::from_iter([header("X-Request-Id")]);
    match status {
        401 => headers.extend([header("WWW-Authenticate")]),
        429 | 503 => headers.extend([header("Retry-After")]),
        _ => {}
    }
    json!({
        "description": format!("{}.", titles.join(". Or: ")),
        "headers": headers,
        "content": { "application/problem+json": {
            "schema": {
                "allOf": [{ "$ref": format!("#/components/schemas/{PROBLEM}") }],
                "properties": { "status": { "const": status }, "code": { "enum": names } },
            },
        } },
    })
}

pub(super) fn header(name: &'static str) -> (String, Value) {
    (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
}

/// A problem document, as `taskyard_runtime::http_error` writes it.
pub(super) fn problem() -> Value {
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    json!({
        "description": "A problem document (RFC 9457).",
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": { "type": "string", "format": "uri-reference", "description": "Where the code is explained." },
            "title": { "type": "string", "description": "What the code means, the same for all its errors." },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "What is wrong this time. For people; it may change." },
            "code": {
                "type": "string",
                "description": "What programs go by. There may be new ones; then the status says enough.",
                "enum": codes,
            },
            "errors": {
                "description": "The fields that are wrong, all of them.",
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": { "field": { "type": "string" }, "message": { "type": "string" } },
                },
            },
        },
    })
}
