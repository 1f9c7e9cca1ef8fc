//! `external.metrics.k8s.io`: its paths, its discovery, its answers.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Extension, Path, Query, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use taskyard_client::Pods;
use taskyard_runtime::http_server::ClientCertificate;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    callers::{self, Aggregator, Asked},
    metrics::{self, Metric},
    selector::Selector,
};

pub const GROUP: &str = "external.metrics.k8s.io";
pub const VERSION: &str = "v1beta1";

/// The API server gives up after 5 s.
const ASK_TIMEOUT: Duration = Duration::from_secs(4);

/// The name of the APIService.
pub fn api_service() -> String {
    format!("{VERSION}.{GROUP}")
}

/// What the answers are made from.
#[derive(Clone)]
pub struct App {
    pub client: Client,
    pub pods: Pods,
    pub aggregator: watch::Receiver<Arc<Aggregator>>,
}

/// Every path, behind the check of who asks.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/apis", get(async || Json(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [group()] }))))
        .route("/apis/external.metrics.k8s.io", get(async || Json(group())))
        .route("/apis/external.metrics.k8s.io/v1beta1", get(resources))
        .route("/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{metric}", get(values))
        .method_not_allowed_fallback(async || {
            status(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "metrics can only be read")
        })
        .fallback(async |uri: Uri| {
            status(StatusCode::NOT_FOUND, "NotFound", &format!("there is nothing at {}", uri.path()))
        })
        .layer(middleware::from_fn_with_state(app.clone(), let_in))
        .with_state(app)
}

fn group() -> Value {
    let version = json!({ "groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION });
    json!({ "kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": [version], "preferredVersion": version })
}

async fn resources() -> Json<Value> {
    let resources: Vec<Value> = Metric::ALL
        .iter()
        .map(|metric| {
            json!({
                "name": metric.name(), "singularName": "", "namespaced": true, "kind": "ExternalMetricValueList",
                "verbs": ["get"],
            })
        })
        .collect();
    Json(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/{VERSION}"),
        "resources": resources,
    }))
}

#[derive(Deserialize)]
struct Params {
    #[serde(default, rename = "labelSelector")]
    label_selector: String,
}

async fn values(
    State(app): State<App>,
    Path((_, name)): Path<(String, String)>,
    Query(params): Query<Params>,
) -> Response {
    let Some(metric) = Metric::named(&name) else {
        let known: Vec<_> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        let message = format!("there is no metric {name}; the metrics are {}", known.join(", "));
        return status(StatusCode::NOT_FOUND, "NotFound", &message);
    };
    let selector = match Selector::parse(&params.label_selector, &metrics::LABELS) {
        Ok(selector) => selector,
        Err(error) => return status(StatusCode::BAD_REQUEST, "BadRequest", &error),
    };
    match metrics::backlogs(&app.pods, Instant::now() + ASK_TIMEOUT).await {
        Ok(backlogs) => Json(metric.values(&backlogs, &selector)).into_response(),
        // An error, and not zero: the autoscaler then leaves things as they are.
        Err(error) => {
            tracing::warn!(metric = name, %error, "no value can be told");
            status(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &format!("the backlog is not known: {error}"))
        }
    }
}

/// Lets in whoever the aggregator vouches for, if the cluster lets them.
async fn let_in(
    State(app): State<App>,
    certificate: Option<Extension<ClientCertificate>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let aggregator = app.aggregator.borrow().clone();
    let certificate = certificate.as_ref().map(|Extension(ClientCertificate(certificate))| certificate);
    let Some(user) = aggregator.user(certificate, &headers) else {
        return status(StatusCode::UNAUTHORIZED, "Unauthorized", "only the API server is answered here");
    };
    let asked = asked(request.method(), request.uri());
    match timeout(ASK_TIMEOUT, callers::may(&app.client, &user, &asked)).await {
        Ok(Ok(true)) => next.run(request).await,
        Ok(Ok(false)) => {
            let message = format!("{} may not read {}", user.name, request.uri().path());
            status(StatusCode::FORBIDDEN, "Forbidden", &message)
        }
        failed => {
            let error = match failed {
                Ok(Err(error)) => format!("{error:#}"),
                _ => "the API server does not answer".to_owned(),
            };
            tracing::warn!(error, "who asks cannot be checked");
            status(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "who asks cannot be checked now")
        }
    }
}

fn asked(method: &Method, uri: &Uri) -> Asked {
    let path = uri.path();
    let metric = path.strip_prefix("/apis/external.metrics.k8s.io/v1beta1/namespaces/");
    match metric.and_then(|metric| metric.split_once('/')) {
        Some((namespace, name)) if method == Method::GET => {
            Asked::Metric { namespace: namespace.to_owned(), name: name.to_owned() }
        }
        _ => Asked::Path(path.to_owned()),
    }
}

/// An error as Kubernetes words it.
fn status(code: StatusCode, reason: &str, message: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code.as_u16(),
    });
    (code, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_asked_for_by_namespace_and_name() {
        let asked = |uri: &str| asked(&Method::GET, &uri.parse().unwrap());
        assert_eq!(
            asked("/apis/external.metrics.k8s.io/v1beta1/namespaces/a/taskyard_backlog?labelSelector=queue%3Dx"),
            Asked::Metric { namespace: "a".into(), name: "taskyard_backlog".into() }
        );
        assert_eq!(
            asked("/apis/external.metrics.k8s.io/v1beta1"),
            Asked::Path("/apis/external.metrics.k8s.io/v1beta1".into())
        );
    }
}
