//! The description as a page: sections, routes, types.

use serde_json::Value;

use super::{
    html::{self, escaped, sentence},
    schema,
};

const RESPONSES: &str = "#/components/responses/";

/// The page of a document.
pub(super) fn page(document: &Value) -> String {
    let title = document["info"]["title"].as_str().unwrap_or_default();
    let mut body = format!("<h1>{} {}</h1>\n", escaped(title), escaped(text(&document["info"]["version"])));
    for paragraph in text(&document["info"]["description"]).split("\n\n") {
        body.push_str(&format!("<p>{}</p>\n", sentence(paragraph)));
    }
    body.push_str(
        "<p>For programs: <a href=\"/openapi.json\">openapi.json</a>. <a href=\"/docs/errors\">All errors</a>.</p>\n",
    );
    let tags: Vec<_> = document["tags"].as_array().into_iter().flatten().collect();
    body.push_str(&contents(document, &tags));
    for tag in tags {
        let name = text(&tag["name"]);
        body.push_str(&format!("<h2>{}</h2>\n<p>{}</p>\n", escaped(name), sentence(text(&tag["description"]))));
        for (path, method, operation) in operations(document).filter(|(.., operation)| operation["tags"][0] == name) {
            body.push_str(&section(document, path, method, operation));
        }
    }
    body.push_str("<h2>Types</h2>\n<p>A field with a star is always there.</p>\n");
    for (name, described) in entries(&document["components"]["schemas"]) {
        body.push_str(&format!("<h3 id=\"type-{0}\">{0}</h3>\n", escaped(name)));
        body.push_str(&format!("<p>{}</p>\n", sentence(text(&described["description"]))));
        body.push_str(&schema::table(described));
    }
    html::page(title, &body)
}

/// All routes, with links.
fn contents(document: &Value, tags: &[&Value]) -> String {
    let mut rows = String::new();
    for tag in tags {
        for (path, method, operation) in operations(document).filter(|(.., it)| it["tags"][0] == tag["name"]) {
            rows.push_str(&format!(
                "<tr><td><a href=\"#{}\"><code>{} {}</code></a></td><td>{}</td></tr>\n",
                escaped(text(&operation["operationId"])),
                escaped(&method.to_ascii_uppercase()),
                escaped(path),
                sentence(text(&operation["summary"])),
            ));
        }
    }
    format!("<table>\n{rows}</table>\n")
}

fn section(document: &Value, path: &str, method: &str, operation: &Value) -> String {
    let mut html = format!(
        "<section id=\"{}\">\n<h3><code>{} {}</code></h3>\n<p>{}.</p>\n",
        escaped(text(&operation["operationId"])),
        escaped(&method.to_ascii_uppercase()),
        escaped(path),
        sentence(text(&operation["summary"])),
    );
    if let Some(more) = operation["description"].as_str() {
        html.push_str(&format!("<p>{}</p>\n", sentence(more)));
    }
    html.push_str(&right(&operation["security"]));
    let parameters: String = operation["parameters"].as_array().into_iter().flatten().map(parameter).collect();
    if !parameters.is_empty() {
        html.push_str(&format!("<h4>Parameters</h4>\n<table>\n{parameters}</table>\n"));
    }
    if let Some((kind, media)) = entries(&operation["requestBody"]["content"]).next() {
        let required = if operation["requestBody"]["required"] == true { "" } else { ", if any" };
        html.push_str(&format!("<h4>Body</h4>\n<p><code>{}</code>{required}: ", escaped(kind)));
        html.push_str(&format!("{}</p>\n", schema::line(&media["schema"])));
        if !media["example"].is_null() {
            html.push_str(&format!("<pre>{}</pre>\n", escaped(&format!("{:#}", media["example"]))));
        }
    }
    let answers: String =
        entries(&operation["responses"]).map(|(status, answer)| row(document, status, answer)).collect();
    html.push_str(&format!("<h4>Answers</h4>\n<table>\n{answers}</table>\n</section>\n"));
    html
}

/// What a caller has to show.
fn right(security: &Value) -> String {
    match &security[0]["bearer"][0] {
        _ if security[0].is_null() => "<p>Needs no token.</p>\n".to_owned(),
        Value::Null => "<p>Needs a token, whatever its rights.</p>\n".to_owned(),
        role if role == "user" => "<p>Needs the token of a user.</p>\n".to_owned(),
        role if role == "site_admin" => "<p>Needs the token of an administrator of the installation.</p>\n".to_owned(),
        scope => format!("<p>Needs the right <code>{}</code>.</p>\n", escaped(text(scope))),
    }
}

fn parameter(parameter: &Value) -> String {
    format!(
        "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        escaped(text(&parameter["name"])),
        escaped(text(&parameter["in"])),
        schema::line(&parameter["schema"]),
        sentence(text(&parameter["description"])),
    )
}

fn row(document: &Value, status: &str, answer: &Value) -> String {
    let kept = answer["$ref"].as_str().and_then(|reference| reference.strip_prefix(RESPONSES));
    let answer = kept.map_or(answer, |name| &document["components"]["responses"][name]);
    let (mut what, mut codes) = (String::new(), String::new());
    if let Some((kind, media)) = entries(&answer["content"]).next() {
        if kind == "application/json" {
            what = schema::line(&media["schema"]);
        }
        for code in media["schema"]["properties"]["code"]["enum"].as_array().into_iter().flatten() {
            codes.push_str(&format!("<a href=\"/docs/errors#{0}\"><code>{0}</code></a> ", escaped(text(code))));
        }
    }
    let about = sentence(text(&answer["description"]));
    format!("<tr><td><code>{}</code></td><td>{what}{codes}</td><td>{about}</td></tr>\n", escaped(status))
}

/// Path, method and operation of all routes.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = entries(&document["paths"]);
    paths.flat_map(|(path, methods)| {
        entries(methods).map(|(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
