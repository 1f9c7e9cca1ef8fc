//! Every request is counted, timed and logged.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::{Method, StatusCode},
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

use super::RequestId;

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

/// A request on its way.
pub(super) struct Seen {
    began: Instant,
    route: String,
    method: &'static str,
    path: String,
}

impl Seen {
    pub(super) fn new(request: &Request, grpc: bool) -> Self {
        let began = Instant::now();
        // Only names that we chose become labels: clients can make up any number of paths and methods.
        let route = match request.extensions().get::<MatchedPath>() {
            _ if grpc => "grpc".to_owned(),
            Some(path) => path.as_str().to_owned(),
            None => "unknown".to_owned(),
        };
        Self { began, route, method: known(request.method()), path: request.uri().path().to_owned() }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn tell(self, Requests { answered, seconds }: &Requests, id: &RequestId, status: StatusCode) {
        let Self { began, route, method, path } = self;
        let (elapsed, id) = (began.elapsed(), id.as_str());
        let millis = elapsed.as_secs_f64() * 1_000.0;
        let code = status.as_u16();
        // Not to be ready is an answer.
        if status.is_server_error() && path != "/readyz" {
            tracing::warn!(method, path, status = code, duration_ms = millis, request_id = id, "a request failed");
        } else {
            tracing::debug!(method, path, status = code, duration_ms = millis, request_id = id, "answered");
        }
        answered.get_or_create(&Answered { method, route: route.clone(), status: code }).inc();
        seconds.get_or_create(&Route { route }).observe(elapsed.as_secs_f64());
    }
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
