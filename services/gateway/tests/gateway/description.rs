//! The description of the API: that it is served, complete, and true of what is served.

use axum::body::Body;
use http::Request;
use serde_json::Value;

use crate::{
    fake::MISSING,
    harness::{Gateway, TOKEN, start},
};

const ID: &str = "01900000-0000-7000-8000-000000000001";

/// What the fake tasks service knows. The others are called in the tests of the whole system.
const FAKED: [&str; 4] = ["Tasks", "Many tasks", "Events", "Queues"];

/// The operations whose calls are answered here, the server's own included.
fn answered(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = operations(document);
    all.retain(|(path, _, operation)| {
        let tag = operation["tags"][0].as_str().unwrap();
        path != "/v1/tasks/search" && (tag == "Server" || FAKED.contains(&tag))
    });
    all
}

/// Path, method and description of every operation.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap();
        methods.iter().map(|(method, operation)| (path.clone(), method.to_uppercase(), operation.clone()))
    });
    each.collect()
}

fn with_names(path: &str) -> String {
    path.replace("{id}", ID).replace("{user_id}", ID).replace("{name}", "mail")
}

async fn document(gateway: &Gateway) -> Value {
    let answer = gateway.get("/openapi.json").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    answer.json()
}

#[tokio::test]
async fn the_description_is_the_one_that_is_kept() {
    let gateway = start().await;
    let kept: Value = serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap();
    assert!(document(&gateway).await == kept, "run 'make openapi', and read the difference before you commit it");
}

#[tokio::test]
async fn every_described_route_is_there_and_takes_what_is_described() {
    let gateway = start().await;
    for (path, method, operation) in operations(&document(&gateway).await) {
        let place = format!("{method} {path}");
        // A parameter that nobody knows is refused with the names of those that the handler reads.
        let body = if operation["requestBody"]["required"] == true {
            operation["requestBody"]["content"]["application/json"]["example"].to_string()
        } else {
            String::new()
        };
        let answer = gateway.json(&method, &format!("{}?zzz=1", with_names(&path)), &body).await;
        if operation["tags"][0] == "Server" {
            assert!(answer.status.is_success() || answer.status == 503, "{place}: {}", answer.text);
            continue;
        }
        let (status, _, detail) = answer.problem();
        assert_eq!(status, 400, "{place}: {detail}");
        let parameters = operation["parameters"].as_array().unwrap().iter().filter(|it| it["in"] == "query");
        let described: Vec<_> = parameters.map(|it| it["name"].as_str().unwrap()).collect();
        let known = if described.is_empty() { "none".to_owned() } else { described.join(", ") };
        assert_eq!(detail, format!("zzz: is not a parameter of this route; known are: {known}"), "{place}");
    }
}

#[tokio::test]
async fn a_method_is_served_only_if_it_is_described() {
    let gateway = start().await;
    let document = document(&gateway).await;
    for path in document["paths"].as_object().unwrap().keys() {
        let answer = gateway.json("OPTIONS", &with_names(path), "").await;
        assert_eq!(answer.status, 204, "{path}");
        let mut allowed: Vec<_> = answer.header("allow").split(',').filter(|method| *method != "HEAD").collect();
        allowed.sort_unstable();
        let all = operations(&document);
        let mut described: Vec<_> = all.iter().filter(|it| it.0 == *path).map(|it| it.1.as_str()).collect();
        described.sort_unstable();
        assert_eq!(allowed, described, "{path}");
    }
}

#[tokio::test]
async fn every_described_example_is_taken() {
    let gateway = start().await;
    let mut tried = 0;
    for (path, method, operation) in answered(&document(&gateway).await) {
        let example = &operation["requestBody"]["content"]["application/json"]["example"];
        if !example.is_null() {
            let answer = gateway.json(&method, &with_names(&path), &example.to_string()).await;
            assert!(answer.status.is_success(), "{method} {path}: {}", answer.text);
            tried += 1;
        }
    }
    assert!(tried > 5);
}

#[tokio::test]
async fn answers_and_errors_are_among_those_described() {
    let gateway = start().await;
    let bearer = format!("Bearer {TOKEN}");
    let document = document(&gateway).await;
    for (path, method, operation) in answered(&document) {
        let described = operation["responses"].as_object().unwrap();
        let send = async |path: &str, kind: &str, token: &str| {
            let request = Request::builder().method(method.as_str()).uri(path);
            let request = request.header("content-type", kind).header("authorization", token);
            gateway.send(request.body(Body::from("{")).unwrap()).await
        };
        let long = format!("{}?{}", with_names(&path), "x".repeat(9_000));
        for answer in [
            send(&with_names(&path), "application/json", &bearer).await,
            send(&with_names(&path), "text/plain", &bearer).await,
            send(&with_names(&path), "application/json", "").await,
            send(&path.replace("{id}", MISSING).replace("{name}", "none"), "application/json", &bearer).await,
            send(&long, "application/json", &bearer).await,
        ] {
            let status = answer.status.as_u16().to_string();
            let answered =
                described.get(&status).unwrap_or_else(|| panic!("{method} {path}: {status} {}", answer.text));
            if answer.status.as_u16() >= 400 && path != "/readyz" {
                let name = answered["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
                let kept = &document["components"]["responses"][name]["content"]["application/problem+json"];
                let codes = kept["schema"]["properties"]["code"]["enum"].as_array().unwrap();
                assert!(codes.contains(&Value::from(answer.problem().1)), "{method} {path}: {codes:?}");
            }
        }
    }
}

#[tokio::test]
async fn it_can_be_read_without_a_token_or_a_script() {
    let gateway = start().await;
    let document = document(&gateway).await;
    let page = gateway.get("/docs").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    for (path, method, operation) in operations(&document) {
        assert!(page.text.contains(&format!("<code>{method} {path}</code>")), "{method} {path}");
        assert!(page.text.contains(&format!("id=\"{}\"", operation["operationId"].as_str().unwrap())));
    }
    for forbidden in ["<script", "style=", "http://", "onclick", "undefined"] {
        assert!(!page.text.replace("http://www", "").contains(forbidden), "{forbidden}");
    }
    assert!(gateway.get("/docs/style.css").await.header("content-type").starts_with("text/css"));
    // Where the type of every problem document leads.
    let errors = gateway.get("/docs/errors").await;
    for code in taskyard_core::ErrorCode::ALL {
        assert!(errors.text.contains(&format!("id=\"{}\"", code.as_str())), "{code:?}");
    }
    let links = page.text.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap());
    for link in links {
        assert!(page.text.contains(&format!("id=\"{link}\"")), "#{link} leads nowhere");
    }
}
