//! The port for those who run us: health and metrics, open to all who can reach it.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    health::Health,
    http_server::{self, Options},
    metrics::{self, Metrics},
};

/// Where health and metrics are served.
#[derive(Args, Clone, Debug)]
pub struct OpsArgs {
    /// Where /healthz, /readyz and /metrics are served, without a token
    #[arg(long, env = "TASKYARD_OPS_LISTEN", default_value = "127.0.0.1:9090", value_name = "ADDRESS")]
    pub ops_listen: SocketAddr,
}

/// Serves `/healthz`, `/readyz` and `/metrics` until `shutdown`. Cancel it last, so that a stopping process still says
/// that it is not ready.
pub async fn serve(listener: TcpListener, health: Health, metrics: Metrics, shutdown: CancellationToken) {
    let router = routes(&health, metrics);
    let options = Options { connections_max: 100, ..Options::default() };
    http_server::serve(listener, router, options, shutdown).await;
}

fn routes(health: &Health, metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(render)).with_state(metrics).merge(health.routes())
}

async fn render(State(metrics): State<Metrics>) -> impl IntoResponse {
    match metrics.render() {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text),
        Err(error) => {
            tracing::error!(%error, "cannot write the metrics");
            let text = "the metrics cannot be written; the log says why\n".to_owned();
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    use super::*;

    async fn get(router: &Router, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_probe_sees_what_is_missing() {
        let health = Health::new();
        health.ready("postgres", false);
        let router = routes(&health, Metrics::new());
        assert_eq!(get(&router, "/healthz").await, (200, r#"{"status":"ok"}"#.to_owned()));
        let (status, body) = get(&router, "/readyz").await;
        assert_eq!((status, body.as_str()), (503, r#"{"missing":["postgres"],"status":"not ready"}"#));
        health.ready("postgres", true);
        assert_eq!(get(&router, "/readyz").await.0, 200);
        assert_eq!(get(&router, "/metrics").await, (200, "# EOF\n".to_owned()));
    }
}
