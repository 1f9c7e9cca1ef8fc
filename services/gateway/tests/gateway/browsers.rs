//! What web pages may do, and what browsers are told.

use axum::body::Body;
use http::Request;

use crate::harness::{Answer, Gateway, TOKEN, start, start_with};

const CONSOLE: &str = "https://console.example";

async fn shared() -> Gateway {
    start_with(|config| config.cors_origins = vec![CONSOLE.into(), "http://localhost:3000".into()]).await
}

async fn send(gateway: &Gateway, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    gateway.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_browser_is_told_what_a_page_may_do() {
    let gateway = shared().await;
    let preflight = async |origin: &str| {
        let asked = [("origin", origin), ("access-control-request-method", "DELETE")];
        send(&gateway, "OPTIONS", "/v1/tasks/x", &asked).await
    };
    for origin in [CONSOLE, "http://localhost:3000"] {
        // Without a token: browsers send none with this question.
        let answer = preflight(origin).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert!(answer.header("access-control-allow-methods").contains("DELETE"));
        assert!(answer.header("access-control-allow-headers").contains("Authorization"));
        assert_eq!(answer.header("access-control-max-age"), "600");
        assert_eq!(answer.header("vary"), "Origin");
        assert_eq!(answer.header("access-control-allow-credentials"), "", "no cookie is ever looked at");
    }
    for origin in ["https://evil.example", "https://console.example.evil.example", "http://console.example", "null"] {
        let answer = preflight(origin).await;
        let (status, code, _) = answer.problem();
        assert_eq!((status, code.as_str()), (403, "FORBIDDEN"), "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
    }
    assert_eq!(gateway.fake.count(), 0);
}

#[tokio::test]
async fn a_page_that_may_call_reads_answers_and_errors() {
    let gateway = shared().await;
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("origin", CONSOLE), ("authorization", bearer.as_str())];
    let answer = send(&gateway, "POST", "/v1/queues/mail/pause", &headers).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, CONSOLE));
    assert!(answer.header("access-control-expose-headers").contains("ETag"));
    let nobody = [headers[0], ("authorization", "")];
    let refused = send(&gateway, "POST", "/v1/queues/mail/pause", &nobody).await;
    assert_eq!((refused.problem().0, refused.header("access-control-allow-origin")), (401, CONSOLE));
    // Another page's change is refused, and what it reads is kept from it by its browser.
    let foreign = [("origin", "https://evil.example"), ("authorization", bearer.as_str())];
    let answer = send(&gateway, "POST", "/v1/queues/mail/pause", &foreign).await;
    assert_eq!((answer.problem().0, answer.header("access-control-allow-origin")), (403, ""));
    let answer = send(&gateway, "GET", "/v1/queues", &foreign).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, ""));
    assert_eq!(answer.header("vary"), "Origin");
}

#[tokio::test]
async fn by_default_no_page_of_another_origin_may_call() {
    let gateway = start().await;
    let asked = [("origin", CONSOLE), ("access-control-request-method", "POST")];
    assert_eq!(send(&gateway, "OPTIONS", "/v1/tasks", &asked).await.problem().0, 403);
    assert_eq!(send(&gateway, "POST", "/v1/queues/mail/pause", &asked[..1]).await.problem().0, 403);
    let answer = send(&gateway, "GET", "/v1/queues", &asked[..1]).await;
    assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), ("", ""));
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    let gateway = start_with(|config| {
        config.hsts = Some("max-age=60; includeSubDomains".parse().unwrap());
    })
    .await;
    for (path, cached) in
        [("/v1/queues", "no-store"), ("/nowhere", "no-store"), ("/healthz", "no-store"), ("/docs", "no-cache")]
    {
        let answer = gateway.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        assert_eq!(answer.header("strict-transport-security"), "max-age=60; includeSubDomains");
        assert_eq!(answer.header("cache-control"), cached, "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    assert_eq!(start().await.get("/healthz").await.header("strict-transport-security"), "", "only where configured");
}
