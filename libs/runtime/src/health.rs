//! Whether this process can serve: named conditions that the services set, and a flag for the time of the stop.

use std::collections::BTreeMap;

use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::get};
use serde_json::json;
use tokio::sync::watch;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health as HealthApi, HealthServer},
};

/// Readiness. Clones share it; it is ready when every condition that was ever set is true and it does not drain.
#[derive(Clone, Debug)]
pub struct Health {
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    conditions: BTreeMap<String, bool>,
    draining: bool,
}

impl State {
    fn missing(&self) -> Vec<String> {
        let missing = self.conditions.iter().filter(|(_, good)| !**good).map(|(name, _)| name.clone());
        missing.chain(self.draining.then(|| "draining".to_owned())).collect()
    }
}

impl Health {
    /// Ready, until a condition says otherwise. Set each condition before a port is bound.
    #[must_use]
    pub fn new() -> Self {
        Self { state: watch::Sender::new(State::default()) }
    }

    /// Sets a condition. Its name says whose it is where services share a process (`tasks: postgres`).
    pub fn ready(&self, condition: &str, good: bool) {
        self.state.send_if_modified(|state| {
            let known = state.conditions.insert(condition.to_owned(), good);
            if known != Some(good) {
                tracing::info!(condition, ready = good, "readiness changed");
            }
            known != Some(good)
        });
    }

    /// Says that this process stops: it is not ready any more, whatever the conditions say.
    pub fn drain(&self) {
        self.state.send_if_modified(|state| !std::mem::replace(&mut state.draining, true));
    }

    /// It can serve.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.missing().is_empty()
    }

    /// What keeps it from serving.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.state.borrow().missing()
    }

    /// Resolves once it can serve.
    pub async fn wait_until_ready(&self) {
        // The sender is held by self, so this cannot fail.
        let _ = self.state.subscribe().wait_for(|state| state.missing().is_empty()).await;
    }

    /// `/healthz` (the process lives: 200) and `/readyz` (200, or 503 with what is missing).
    pub fn routes(&self) -> Router {
        let health = self.clone();
        Router::new()
            .route("/healthz", get(async || Json(json!({ "status": "ok" }))))
            .route("/readyz", get(async move || answer(health.missing())))
    }

    /// The gRPC health service of a role: `services` and the server as a whole (the empty name) are SERVING while this
    /// is ready.
    pub async fn grpc_service(&self, services: &[&'static str]) -> HealthServer<impl HealthApi + use<>> {
        let (reporter, server) = tonic_health::server::health_reporter();
        let names: Vec<&'static str> = services.iter().copied().chain([""]).collect();
        let mut changes = self.state.subscribe();
        let tell = async move |ready: bool| {
            let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            for name in &names {
                reporter.set_service_status(*name, status).await;
            }
        };
        let ready = changes.borrow_and_update().missing().is_empty();
        tell(ready).await;
        // Ends with the last handle.
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                let ready = changes.borrow_and_update().missing().is_empty();
                tell(ready).await;
            }
        });
        server
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

fn answer(missing: Vec<String>) -> impl IntoResponse {
    if missing.is_empty() {
        (StatusCode::OK, Json(json!({ "status": "ready" })))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not ready", "missing": missing })))
    }
}

#[cfg(test)]
mod tests {
    use tonic::Request;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus as Answer};

    use super::*;

    #[tokio::test]
    async fn it_is_ready_when_every_condition_is_true() {
        let health = Health::new();
        health.ready("postgres", false);
        health.ready("nats", true);
        assert_eq!(health.missing(), ["postgres"]);
        health.ready("postgres", true);
        health.wait_until_ready().await;
        health.drain();
        assert_eq!(health.missing(), ["draining"]);
        health.ready("postgres", true);
        assert!(!health.is_ready(), "nothing ends a drain");
    }

    #[tokio::test]
    async fn the_grpc_service_follows() {
        let health = Health::new();
        health.ready("postgres", false);
        let service = health.grpc_service(&["taskyard.v1.TaskService"]).await;
        let channel = tonic_health::pb::health_client::HealthClient::new(service);
        let ask = async |name: &str| {
            let request = Request::new(HealthCheckRequest { service: name.into() });
            channel.clone().check(request).await.map(|answer| answer.into_inner().status())
        };
        assert_eq!(ask("").await.unwrap(), Answer::NotServing);
        health.ready("postgres", true);
        let serving = async {
            while ask("taskyard.v1.TaskService").await.unwrap() != Answer::Serving {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(5), serving).await.unwrap();
        assert!(ask("unknown").await.is_err());
    }
}
