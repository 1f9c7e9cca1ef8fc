//! Each route: what it asks the tasks service, and what it shows.

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::{
    fake::{BOMB, CONTESTED, MISSING, MOVING},
    harness::{Gateway, start},
};

const ID: &str = "01900000-0000-7000-8000-000000000001";

fn seen(gateway: &Gateway) -> String {
    gateway.fake.last().message
}

#[tokio::test]
async fn create() {
    let gateway = start().await;
    let answer = gateway.json("POST", "/v1/tasks", r#"{"kind":"echo","title":"x","delay_ms":1500}"#).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/v1/tasks/{id}"));
    assert_eq!(answer.header("etag"), "\"1\"");
    assert!(seen(&gateway).contains("seconds: 1, nanos: 500000000"), "{}", seen(&gateway));
    assert!(seen(&gateway).contains(&id), "the gateway chose the id, so that it may repeat the call");

    // Known by its key: 200, and where it is.
    let request = Request::post("/v1/tasks")
        .header("content-type", "application/json")
        .header("idempotency-key", "known")
        .body(Body::from(r#"{"kind":"echo"}"#))
        .unwrap();
    let answer = gateway.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (200, &*format!("/v1/tasks/{ID}")));

    // All fields that are wrong, by their JSON names.
    let wrong = r#"{"timeout_ms":0,"retry":{"backoff_ms":0},"due_at":"2026-01-01T00:00:00Z","delay_ms":1}"#;
    let answer = gateway.json("POST", "/v1/tasks", wrong).await;
    let (status, code, detail) = answer.problem();
    assert_eq!((status, code.as_str(), detail.as_str()), (400, "INVALID_INPUT", "kind: is missing (and 3 more)"));
    let fields: Vec<_> = answer.json()["errors"].as_array().unwrap().iter().map(|it| it["field"].clone()).collect();
    assert_eq!(fields, ["kind", "delay_ms", "timeout_ms", "retry.backoff_ms"]);
}

#[tokio::test]
async fn what_is_no_new_task_is_refused_with_its_place() {
    let gateway = start().await;
    for (body, part) in [
        (r#"{"kind":"echo","queu":"x"}"#, "queu: unknown field `queu`, expected one of `id`"),
        (r#"{"kind":5}"#, "kind: invalid type: integer `5`, expected a string at line 1 column 9"),
        ("{\n\"kind\":", "kind: EOF while parsing a value at line 2 column 7"),
        ("[]", "body: invalid"),
        ("x", "body: expected value at line 1 column 1"),
        (r#"{"kind":"echo","payload":{"a":}}"#, "payload: expected value at line 1"),
    ] {
        let (status, code, detail) = gateway.json("POST", "/v1/tasks", body).await.problem();
        assert_eq!((status, code.as_str()), (400, "INVALID_INPUT"));
        assert!(detail.starts_with(part), "{body}: {detail}");
    }
    let empty = Request::post("/v1/tasks").header("content-type", "application/json").body(Body::empty()).unwrap();
    assert_eq!(gateway.send(empty).await.problem().2, "body: is empty; it must be a JSON object");
    assert_eq!(gateway.fake.count(), 0);
}

#[tokio::test]
async fn batch() {
    let gateway = start().await;
    let body = r#"{"tasks":[{"kind":"echo"},{"kind":5},{"kind":"a b"},{"kind":"echo","idempotency_key":"known"},
        {"kind":"echo","delay_ms":99999999999}]}"#;
    let answer = gateway.json("POST", "/v1/tasks/batch", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let results = answer.json()["results"].clone();
    assert_eq!(results[0]["created"], true);
    assert_eq!(results[1]["error"]["field"], "kind");
    assert!(results[1]["error"]["message"].as_str().unwrap().contains("expected a string"));
    assert_eq!(results[2]["error"]["code"], "INVALID_INPUT");
    assert_eq!(results[3], json!({ "id": ID, "created": false }));
    assert_eq!(results[4]["error"]["field"], "delay_ms");
    assert_eq!(results[4]["error"]["message"], "delay_ms: must be at most 366 days");

    assert_eq!(gateway.json("POST", "/v1/tasks/batch", r#"{"tasks":[]}"#).await.json(), json!({ "results": [] }));
    let many = format!(r#"{{"tasks":[{}0]}}"#, "0,".repeat(1_000));
    let (status, _, detail) = gateway.json("POST", "/v1/tasks/batch", &many).await.problem();
    assert!(status == 400 && detail.contains("more than 1000 values"), "{detail}");
}

#[tokio::test]
async fn get() {
    let gateway = start().await;
    let answer = gateway.get(&format!("/v1/tasks/{ID}")).await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, "\"3\""));
    assert!(answer.text.contains(r#""payload":{"a": 1.00}"#), "byte for byte: {}", answer.text);
    assert_eq!(answer.json()["created_at"], "2026-01-02T01:04:05.000000Z");

    let (status, code, _) = gateway.get(&format!("/v1/tasks/{MISSING}")).await.problem();
    assert_eq!((status, code.as_str()), (404, "TASK_NOT_FOUND"));
    for bad in ["x", "%ff", "0190"] {
        let (status, code, detail) = gateway.get(&format!("/v1/tasks/{bad}")).await.problem();
        assert_eq!((status, code.as_str()), (400, "INVALID_INPUT"), "{detail}");
    }
    let (status, code, detail) = gateway.get(&format!("/v1/tasks/{BOMB}")).await.problem();
    assert_eq!((status, code.as_str()), (500, "INTERNAL"));
    assert!(!detail.contains("as it was asked to"), "{detail}");
}

#[tokio::test]
async fn list() {
    let gateway = start().await;
    let query = "state=ready,dead&queue=mail&kind=echo&created_after=2026-01-01T00:00:00Z&order=finished_asc\
                 &page_size=7&page_token=next";
    let answer = gateway.get(&format!("/v1/tasks?{query}")).await;
    assert_eq!(answer.json()["next_page_token"], json!(null), "{}", answer.text);
    let asked = seen(&gateway);
    for part in [
        "states: [Ready, Dead]",
        "queue: \"mail\"",
        "kind: \"echo\"",
        "created_after: Some(Timestamp { seconds: 1767225600",
        "order: FinishedAsc",
        "page_size: 7",
        "page_token: \"next\"",
    ] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    let first = gateway.get("/v1/tasks").await;
    assert_eq!(first.json()["next_page_token"], "next");
    assert!(!first.text.contains("payload"));

    for (query, part) in [
        ("stat=ready", "stat: is not a parameter of this route; known are: state, queue"),
        ("state=done", "state: `done` is not a state"),
        ("order=up", "order: `up`: is not an order; use created_desc"),
        ("page_size=-1", "page_size: `-1` must be a whole number"),
        ("queue=a%20b", "queue: `a b` must begin"),
        ("queue=a&queue=b", "queue: is given twice"),
        ("created_after=2026-01-01", "created_after: `2026-01-01` is not a time"),
    ] {
        let (status, _, detail) = gateway.get(&format!("/v1/tasks?{query}")).await.problem();
        assert!(status == 400 && detail.starts_with(part), "{query}: {detail}");
    }
}

#[tokio::test]
async fn search() {
    let gateway = start().await;
    let query = "q=deploy%20%22web%20server%22&state=dead&label=team:growth&label=a:b:c&creator=ann&page_size=7\
                 &page_token=next";
    let answer = gateway.get(&format!("/v1/tasks/search?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let asked = seen(&gateway);
    for part in [
        "query: \"deploy \\\"web server\\\"\"",
        "states: [Dead]",
        r#"labels: {"a": "b:c", "team": "growth"}"#,
        "creator: \"ann\"",
        "page_size: 7",
        "page_token: \"next\"",
    ] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    let hit = &answer.json()["hits"][0];
    assert_eq!(hit["title_html"], "&lt;Deploy&gt; <mark>servers</mark>");
    assert_eq!((&hit["description_html"], &hit["task"]["id"]), (&json!(""), &json!("one")));
    assert_eq!((&answer.json()["next_page_token"], &answer.json()["corrected_query"]), (&json!(null), &json!(null)));
    let first = gateway.get("/v1/tasks/search?q=servrs").await.json();
    assert_eq!((&first["next_page_token"], &first["corrected_query"]), (&json!("next"), &json!("servers")));

    for (query, part) in [
        ("", "q: is missing"),
        ("q=%20", "q: is missing"),
        ("q=a%00", "q: holds the character U+0000"),
        ("q=a&q=b", "q: is given twice"),
        ("q=a&order=created_asc", "order: is not a parameter"),
        ("q=a&label=team", "label: `team` is not a label"),
        ("q=a&label=:x", "labels: hold an empty key"),
    ] {
        let (status, _, detail) = gateway.get(&format!("/v1/tasks/search?{query}")).await.problem();
        assert!(status == 400 && detail.starts_with(part), "{query}: {detail}");
    }
}

#[tokio::test]
async fn update() {
    let gateway = start().await;
    let path = format!("/v1/tasks/{ID}");
    let answer = gateway.json("PATCH", &path, r#"{"title":"new","due_at":null}"#).await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, "\"4\""), "{}", answer.text);
    assert!(seen(&gateway).contains(r#"paths: ["title", "due_time"]"#), "{}", seen(&gateway));
    assert!(seen(&gateway).contains("version: 0"));

    // Labels are merged with those that are there, for the version that was read.
    let answer = gateway.json("PATCH", &path, r#"{"labels":{"tier":"gold"}}"#).await;
    assert_eq!(answer.json()["labels"], json!({ "team": "a", "tier": "gold" }));
    assert!(seen(&gateway).contains("version: 3"));
    let answer = gateway.json("PATCH", &path, r#"{"labels":{"team":null}}"#).await;
    assert_eq!(answer.json()["labels"], json!({}));
    let answer = gateway.json("PATCH", &path, r#"{"labels":null}"#).await;
    assert_eq!(answer.json()["labels"], json!({}));

    let patch = async |tag: &str, path: &str, body: &'static str| {
        let request = Request::patch(path)
            .header("if-match", tag)
            .header("content-type", "application/merge-patch+json")
            .body(Body::from(body))
            .unwrap();
        gateway.send(request).await
    };
    assert_eq!(patch("\"3\"", &path, r#"{"title":"x"}"#).await.status, 200);
    let (status, code, _) = patch("\"2\"", &path, r#"{"title":"x"}"#).await.problem();
    assert_eq!((status, code.as_str()), (412, "VERSION_MISMATCH"));
    assert_eq!(patch("W/\"3\"", &path, r#"{"title":"x"}"#).await.status, 400);

    // Merged anew, but not for ever.
    let contested = gateway.json("PATCH", &format!("/v1/tasks/{CONTESTED}"), r#"{"labels":{"a":"b"}}"#).await;
    assert_eq!(contested.status, 412);
    for (body, part) in [
        ("{}", "body: changes nothing"),
        (r#"{"state":"ready"}"#, "state: unknown field"),
        (r#"{"priority":10}"#, "priority: is 10"),
        (r#"{"due_at":"2999-01-01T00:00:00Z"}"#, "due_at: is 2999"),
    ] {
        let (status, _, detail) = gateway.json("PATCH", &path, body).await.problem();
        assert!(status == 400 && detail.starts_with(part), "{body}: {detail}");
    }
}

#[tokio::test]
async fn commands() {
    let gateway = start().await;
    let path = format!("/v1/tasks/{ID}");
    let answer = gateway.json("DELETE", &path, "").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));

    let answer = gateway.json("POST", &format!("{path}/complete"), r#"{"result":{"ok": true}}"#).await;
    assert_eq!(answer.status, 200);
    assert!(seen(&gateway).contains(r#"{\"ok\": true}"#), "{}", seen(&gateway));
    let (status, code, _) = gateway.json("POST", &format!("{path}/complete"), "").await.problem();
    assert_eq!((status, code.as_str()), (409, "WRONG_STATE"));

    let answer = gateway.json("POST", &format!("{path}/cancel"), r#"{"reason":"why not"}"#).await;
    assert_eq!(answer.json()["error"], "why not");
    assert_eq!(gateway.json("POST", &format!("{path}/retry"), "").await.status, 200);
    assert_eq!(gateway.json("POST", &format!("{path}/retry"), r#"{"now":true}"#).await.status, 400);
    assert_eq!(gateway.json("POST", &format!("{path}/retry?x=1"), "").await.status, 400);
}

#[tokio::test]
async fn retry_by_filter() {
    let gateway = start().await;
    let answer = gateway.json("POST", "/v1/tasks/retry", r#"{"filter":{"queue":"mail","state":"dead"}}"#).await;
    assert_eq!(answer.json(), json!({ "retried": 700, "done": true }));
    assert!(seen(&gateway).contains("states: [Dead]"), "{}", seen(&gateway));
    assert_eq!(gateway.json("POST", "/v1/tasks/retry", "").await.status, 200);

    // Out of time: what was done so far.
    let request = Request::post("/v1/tasks/retry")
        .header("content-type", "application/json")
        .header("x-request-timeout-ms", "300")
        .body(Body::from(r#"{"filter":{"queue":"endless"}}"#))
        .unwrap();
    assert_eq!(gateway.send(request).await.json(), json!({ "retried": 7, "done": false }));
}

#[tokio::test]
async fn cancel_and_complete_by_filter() {
    let gateway = start().await;
    let body = r#"{"filter":{"queue":"mail","state":["ready","open"]},"reason":"why not"}"#;
    let answer = gateway.json("POST", "/v1/tasks/cancel", body).await;
    assert_eq!(answer.json(), json!({ "canceled": 300, "done": true }));
    assert!(seen(&gateway).contains("states: [Ready, Open], queue: \"mail\""), "{}", seen(&gateway));
    assert!(seen(&gateway).contains("reason: \"why not\""), "{}", seen(&gateway));
    let body = r#"{"filter":{"queue":"people"},"result":{"ok": 1.00}}"#;
    let answer = gateway.json("POST", "/v1/tasks/complete", body).await;
    assert_eq!(answer.json(), json!({ "completed": 2, "done": true }));
    assert!(seen(&gateway).contains(r#"{\"ok\": 1.00}"#), "byte for byte: {}", seen(&gateway));
    let before = gateway.fake.count();
    for path in ["/v1/tasks/cancel", "/v1/tasks/complete"] {
        for body in ["", "{}", r#"{"queue":"mail"}"#, r#"{"filter":[]}"#, r#"{"filter":{"state":"gone"}}"#] {
            assert!(matches!(gateway.json("POST", path, body).await.status.as_u16(), 400 | 415), "{path} {body}");
        }
    }
    assert_eq!(gateway.fake.count(), before);
}

#[tokio::test]
async fn a_task_that_the_caller_has_is_not_sent_again() {
    let gateway = start().await;
    let get = async |id: &str, tags: &str| {
        let request = Request::get(format!("/v1/tasks/{id}")).header("if-none-match", tags);
        gateway.send(request.body(Body::empty()).unwrap()).await
    };
    for tags in ["\"3\"", "W/\"3\"", "\"1\", \"3\"", "*"] {
        let answer = get(ID, tags).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str(), answer.header("etag")), (304, "", "\"3\""), "{tags}");
    }
    for tags in ["\"2\"", "3", "\"\""] {
        assert_eq!(get(ID, tags).await.status, 200, "{tags}");
    }
    // Its progress moves on within one version.
    assert_eq!(get(MOVING, "\"3\"").await.status, 200);
    assert_eq!(get(MISSING, "*").await.status, 404);
}

#[tokio::test]
async fn commands_are_made_for_a_version() {
    let gateway = start().await;
    let path = format!("/v1/tasks/{ID}");
    for (method, path) in [
        ("DELETE", path.clone()),
        ("POST", format!("{path}/complete")),
        ("POST", format!("{path}/cancel")),
        ("POST", format!("{path}/retry")),
    ] {
        let send = async |tag: &str| {
            let request = Request::builder().method(method).uri(&path).header("content-type", "application/json");
            gateway.send(request.header("if-match", tag).body(Body::from("{}")).unwrap()).await
        };
        send("\"7\"").await;
        assert!(seen(&gateway).contains("version: 7"), "{path}: {}", seen(&gateway));
        send("*").await;
        assert!(seen(&gateway).contains("version: 0"), "{path}: {}", seen(&gateway));
        assert_eq!(send("7").await.problem().0, 400, "{path}");
    }
}

#[tokio::test]
async fn events() {
    let gateway = start().await;
    let answer = gateway.get("/v1/events?position=1.2.3&page_size=9").await;
    assert_eq!(answer.json()["events"][0]["type"], "task.created");
    assert_eq!((&answer.json()["position"], &answer.json()["more"]), (&json!("1.2.1"), &json!(false)));
    assert!(seen(&gateway).contains(r#"position: "1.2.3", task_id: "", page_size: 9"#), "{}", seen(&gateway));
    let answer = gateway.get(&format!("/v1/tasks/{ID}/events")).await;
    assert_eq!(answer.json()["events"][0]["task_id"], ID);
    assert_eq!(gateway.get("/v1/events?position=x").await.problem().0, 400);
}

#[tokio::test]
async fn queues() {
    let gateway = start().await;
    let answer = gateway.get("/v1/queues?page_size=1").await;
    assert_eq!(answer.json()["queues"][0]["name"], "default");
    assert_eq!(answer.json()["next_page_token"], "mail");
    assert_eq!(gateway.get("/v1/queues/mail").await.json()["ready"], 4, "found on the second page");
    let (status, code, _) = gateway.get("/v1/queues/none").await.problem();
    assert_eq!((status, code.as_str()), (404, "QUEUE_NOT_FOUND"));
    assert_eq!(gateway.get("/v1/queues/a%20b").await.problem().0, 400);
    assert_eq!(gateway.json("POST", "/v1/queues/mail/pause", "").await.json()["paused"], true);
    assert_eq!(gateway.json("POST", "/v1/queues/mail/resume", "").await.json()["paused"], false);
    let answer = gateway.json("PUT", "/v1/queues/mail/limits", r#"{"concurrency_max":10}"#).await;
    assert_eq!(answer.json()["concurrency_max"], 10);
    let (status, _, detail) = gateway.json("PUT", "/v1/queues/mail/limits", "{}").await.problem();
    assert!(status == 400 && detail.contains("missing field `concurrency_max`"), "{detail}");
}
