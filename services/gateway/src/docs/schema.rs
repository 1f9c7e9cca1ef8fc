//! A schema in a line or a table.

use serde_json::Value;

use super::html::{escaped, sentence};

const REFERENCE: &str = "#/components/schemas/";

/// A schema in one line: its type and its limits.
pub(super) fn line(schema: &Value) -> String {
    let mut parts = vec![kind(schema)];
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> = values.iter().map(|value| format!("<code>{}</code>", escaped(&plain(value)))).collect();
        parts.push(values.join(" "));
    }
    for (name, words) in [
        ("format", ""),
        ("minimum", "at least "),
        ("maximum", "at most "),
        ("x-bytes-max", "bytes at most: "),
        ("maxLength", "characters at most: "),
        ("maxItems", "values at most: "),
        ("maxProperties", "entries at most: "),
        ("pattern", "like "),
        ("default", "if not given: "),
    ] {
        match &schema[name] {
            Value::Null => {}
            // A type's width says nothing to people.
            Value::String(text) if name == "format" && text.starts_with("uint") => {}
            // It follows from the bytes.
            _ if name == "maxLength" && schema["x-bytes-max"].is_number() => {}
            value => parts.push(format!("{words}<code>{}</code>", escaped(&plain(value)))),
        }
    }
    parts.join(", ")
}

fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix(REFERENCE)) {
        return format!("<a href=\"#type-{0}\">{0}</a>", escaped(name));
    }
    for list in ["anyOf", "oneOf", "allOf"] {
        if let Some(any) = schema[list].as_array() {
            return any.iter().map(line).collect::<Vec<_>>().join(" or ");
        }
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => format!("list of {}", line(&schema["items"])),
        Value::String(kind) => escaped(kind),
        Value::Array(kinds) => {
            let kinds: Vec<_> = kinds.iter().map(plain).collect();
            escaped(&kinds.join(" or "))
        }
        _ => "any JSON".to_owned(),
    }
}

/// An object's fields as a table, the required ones first.
pub(super) fn table(schema: &Value) -> String {
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut rows: Vec<_> = schema["properties"].as_object().into_iter().flatten().collect();
    rows.sort_by_key(|(name, _)| !required.contains(&name.as_str()));
    let rows: String = rows
        .into_iter()
        .map(|(name, field)| {
            let mark = if required.contains(&name.as_str()) { " <b>*</b>" } else { "" };
            let about = sentence(field["description"].as_str().unwrap_or_default());
            format!("<tr><td><code>{}</code>{mark}</td><td>{}</td><td>{about}</td></tr>\n", escaped(name), line(field))
        })
        .collect();
    if rows.is_empty() { format!("<p>{}</p>\n", line(schema)) } else { format!("<table>\n{rows}</table>\n") }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_told_in_a_line() {
        assert_eq!(
            line(&json!({ "type": ["integer", "null"], "maximum": 9, "format": "uint32" })),
            "integer or null, at most <code>9</code>"
        );
        let list = json!({ "type": "array", "items": { "$ref": "#/components/schemas/Task" }, "maxItems": 3 });
        assert_eq!(line(&list), "list of <a href=\"#type-Task\">Task</a>, values at most: <code>3</code>");
        assert_eq!(line(&json!(true)), "any JSON");
    }
}
