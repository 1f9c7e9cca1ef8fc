//! Every request is counted, timed and logged.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
};
use taskyard_runtime::metrics::Metrics;

use super::{RequestId, is_grpc};
use crate::app::App;

/// Counters of requests.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    answered: Family<Answered, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
}

impl Requests {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let answered = Family::<Answered, Counter>::default();
        let seconds = Family::<Route, Histogram, fn() -> Histogram>::new_with_constructor(buckets);
        metrics.register(|registry| {
            let help = "Answered requests, by method, route and status";
            registry.register("http_requests", help, answered.clone());
            registry.register("http_request_seconds", "Time until the answer began, by route", seconds.clone());
        });
        Self { answered, seconds }
    }
}

pub(crate) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    // Only names that we chose become labels: clients can make up any number of paths and methods.
    let route = match request.extensions().get::<MatchedPath>() {
        _ if is_grpc(request.headers()) => "grpc".to_owned(),
        Some(path) => path.as_str().to_owned(),
        None => "unknown".to_owned(),
    };
    let method = known(request.method());
    let path = request.uri().path().to_owned();
    let id = request.extensions().get::<RequestId>().cloned();
    let id = id.as_ref().map(RequestId::as_str).unwrap_or_default();

    let response = next.run(request).await;

    let elapsed = began.elapsed();
    let status = response.status();
    let millis = elapsed.as_secs_f64() * 1_000.0;
    // Not to be ready is an answer.
    if status.is_server_error() && path != "/readyz" {
        tracing::warn!(
            method,
            path,
            status = status.as_u16(),
            duration_ms = millis,
            request_id = id,
            "a request failed"
        );
    } else {
        tracing::debug!(method, path, status = status.as_u16(), duration_ms = millis, request_id = id, "answered");
    }
    let Requests { answered, seconds } = app.requests();
    answered.get_or_create(&Answered { method, route: route.clone(), status: status.as_u16() }).inc();
    seconds.get_or_create(&Route { route }).observe(elapsed.as_secs_f64());
    response
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    route: String,
}

/// 1 ms to 32 s.
fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
