//! The whole document.

use serde_json::{Map, Value, json};
use taskyard_core::identity::Access;

use super::{
    Described, Operation,
    errors::{self, PROBLEM, header},
    operation::{Answer, Body},
    schemas::Schemas,
};

/// What stands above all routes.
const ABOUT: &str = "\
Hand in work; it runs at its time, on whichever worker is free, and is never lost.

Names are in `snake_case`, times RFC 3339 texts, durations whole numbers of milliseconds. Unknown fields and parameters \
are refused by name; answers may gain fields. Text is bounded in bytes of UTF-8 (`x-bytes-max`); `maxLength`, in \
characters, is what no text within that bound can exceed. Every `GET` answers to `HEAD` as well, and every path tells \
its methods to `OPTIONS`.";

/// The sections, in order.
const TAGS: [(&str, &str); 10] = [
    ("Tasks", "One task: created, read, changed, ended."),
    ("Many tasks", "The same command for all tasks that match."),
    ("Events", "What has happened, in one order that can be read on from any position."),
    ("Queues", "A queue is there as soon as a task names it."),
    ("Schedules", "Tasks that are made again and again."),
    ("Accounts", "Users sign in with a password and show a token that is bound to one namespace."),
    ("Namespaces", "What is in one exists for its members only."),
    ("Keys", "For programs and workers: each has the rights that it needs, in one namespace."),
    (
        "Administration",
        "Across namespaces, for administrators of the installation. Whatever they do is in the audit log.",
    ),
    ("Server", "Whether it lives, and this description. No token is needed."),
];

/// The description of these routes.
pub(crate) fn document(routes: &[Described]) -> Value {
    let mut schemas = Schemas::new();
    let mut responses = Map::new();
    let mut paths = Map::new();
    for route in routes {
        let described = operation(route, &mut schemas, &mut responses);
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = methods {
            methods.insert(route.method.to_owned(), described);
        }
    }
    let mut named = schemas.named();
    named.insert(PROBLEM.to_owned(), errors::problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Taskyard",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }],
        "tags": TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
            "headers": headers(),
            "responses": responses,
            "schemas": named,
        },
    })
}

/// The document as a text that can be read and compared.
pub(crate) fn pretty(document: &Value) -> String {
    format!("{document:#}\n")
}

fn operation(route: &Described, schemas: &mut Schemas, responses: &mut Map<String, Value>) -> Value {
    let operation = &route.operation;
    let mut answers = Map::new();
    for (status, answer) in &operation.answers {
        answers.insert(status.to_string(), to_json(answer, schemas));
    }
    for (status, answer) in errors::answers(&operation.errors, responses) {
        answers.insert(status.to_string(), answer);
    }
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": answers,
    });
    if let Value::Object(described) = &mut described {
        if !operation.description.is_empty() {
            described.insert("description".to_owned(), operation.description.into());
        }
        if !operation.parameters.is_empty() {
            let parameters = operation.parameters.iter().map(super::Parameter::to_json).collect();
            described.insert("parameters".to_owned(), parameters);
        }
        if let Some(body) = &operation.body {
            described.insert("requestBody".to_owned(), body_to_json(body, schemas));
        }
        described.insert("security".to_owned(), security(operation));
    }
    described
}

/// What has to be shown. The roles are scopes of keys, `user` for what only people do, `site_admin` for administrators.
fn security(operation: &Operation) -> Value {
    let role = match operation.access() {
        _ if operation.open => return json!([]),
        Some(Access::Scope(scope) | Access::ScopeOrService(scope, _)) => vec![scope.as_str()],
        Some(Access::User) => vec!["user"],
        Some(Access::SiteAdmin) => vec!["site_admin"],
        _ => Vec::new(),
    };
    json!([{ "bearer": role }])
}

fn body_to_json(body: &Body, schemas: &mut Schemas) -> Value {
    let schema = (body.schema)(schemas);
    let mut media = json!({ "schema": schema });
    if let (Value::Object(media), false) = (&mut media, body.example.is_null()) {
        media.insert("example".to_owned(), body.example.clone());
    }
    let content: Map<_, _> = body.types.iter().map(|kind| ((*kind).to_owned(), media.clone())).collect();
    json!({ "required": body.required, "content": content })
}

fn to_json(answer: &Answer, schemas: &mut Schemas) -> Value {
    let headers: Map<_, _> = ["X-Request-Id"].iter().chain(&answer.headers).map(|name| header(name)).collect();
    let mut described = json!({ "description": answer.description, "headers": headers });
    if let (Some((kind, schema)), Value::Object(described)) = (answer.content, &mut described) {
        described.insert("content".to_owned(), json!({ kind: { "schema": schema(schemas) } }));
    }
    described
}

fn headers() -> Value {
    let text =
        |description: &str| json!({ "description": description, "required": true, "schema": { "type": "string" } });
    json!({
        "X-Request-Id": text("The request's own id, or the one that it was given. It is in the log of every service."),
        "ETag": text("The task's version, for If-Match and If-None-Match."),
        "Location": text("The path of the task."),
        "WWW-Authenticate": text("Bearer."),
        "Retry-After": {
            "description": "In how many seconds to try again, where that is known.",
            "schema": { "type": "integer", "minimum": 1 },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::router;

    #[test]
    fn every_operation_and_type_has_a_name_of_its_own() {
        let routes = router::described();
        let ids: BTreeSet<_> = routes.iter().map(|route| route.operation.id).collect();
        assert_eq!(ids.len(), routes.len());
        let mut schemas = Schemas::new();
        for route in &routes {
            operation(route, &mut schemas, &mut Map::new());
        }
        assert_eq!(schemas.ambiguous(), Vec::<String>::new());
        assert!(!schemas.named().contains_key(PROBLEM));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str));
                    fields.values().for_each(|field| references(field, found));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document(&router::described());
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100);
        for reference in found {
            let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
            assert!(target.is_some(), "{reference}");
        }
    }

    #[test]
    fn every_operation_names_the_right_that_it_needs() {
        for route in router::described() {
            let operation = route.operation;
            let of_server = operation.tag == "Server";
            assert_eq!(operation.access().is_none(), of_server, "{}: name its method by `calls`", operation.id);
            let is_open = operation.access() == Some(Access::Open);
            assert!(of_server || operation.open == is_open, "{}", operation.id);
        }
    }

    #[test]
    fn every_tag_is_a_section() {
        for route in router::described() {
            assert!(TAGS.iter().any(|(name, _)| *name == route.operation.tag), "{}", route.operation.tag);
        }
    }

    #[test]
    fn every_parameter_of_a_path_is_described() {
        for route in router::described() {
            let in_path: Vec<_> =
                route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            let parameters = route.operation.parameters.iter().filter(|parameter| parameter.place == "path");
            let described: Vec<_> = parameters.map(|parameter| parameter.name).collect();
            assert_eq!(described, in_path, "{}", route.path);
        }
    }
}
