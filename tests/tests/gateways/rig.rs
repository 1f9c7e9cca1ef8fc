//! A pod, gateways in front of it, and clients that show whatever a test wants.

use anyhow::{Context, Result};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use taskyard_gateway::{Config, RedisAt};
use taskyard_runtime::{health::Health, metrics::Metrics};
use taskyard_tests::{Pod, Stack};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub const PASSWORD: &str = "correct horse battery";

pub struct Rig {
    pub stack: Stack,
    pub pod: Pod,
}

pub struct Gateway {
    pub url: String,
    pub metrics: Metrics,
    http: reqwest::Client,
    stop: CancellationToken,
    running: JoinHandle<Result<()>>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub json: Value,
}

/// Somebody who has signed in.
#[derive(Debug)]
pub struct Person {
    pub id: String,
    pub access: String,
}

impl Rig {
    pub async fn open() -> Result<Self> {
        let stack = Stack::shared().await?;
        let pod = stack.pod().await?;
        Ok(Self { stack, pod })
    }

    pub async fn close(self) -> Result<()> {
        self.pod.stop().await?;
        self.stack.close().await
    }

    /// One more gateway.
    pub async fn gateway(&self, change: impl FnOnce(&mut Config)) -> Result<Gateway> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut config = Config::new(address, vec![self.pod.url()]);
        let prefix = self.stack.sandbox.prefix().to_owned();
        config.redis = Some(RedisAt { url: self.stack.sandbox.redis_url().into(), prefix });
        change(&mut config);
        let (health, metrics, stop) = (Health::new(), Metrics::new(), CancellationToken::new());
        health.ready("gateway: tasks service reached", false);
        let running =
            tokio::spawn(taskyard_gateway::run(config, listener, health.clone(), metrics.clone(), stop.clone()));
        health.wait_until_ready().await;
        Ok(Gateway {
            url: format!("http://{address}"),
            metrics,
            http: reqwest::Client::builder()
                .tls_backend_preconfigured(taskyard_runtime::tls::client_config()?)
                .build()?,
            stop,
            running,
        })
    }
}

impl Answer {
    /// A text of the JSON.
    pub fn text(&self, pointer: &str) -> Result<String> {
        self.json.pointer(pointer).and_then(Value::as_str).map(str::to_owned).context(format!("{self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Gateway {
    pub async fn stop(self) -> Result<()> {
        self.stop.cancel();
        drop(self.http);
        self.running.await?
    }

    /// A request; no token if it is empty, no body if it is null.
    pub async fn send(&self, method: &str, path: &str, token: &str, body: &Value) -> Result<Answer> {
        self.send_with(method, path, token, body, &[]).await
    }

    pub async fn send_with(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let method = reqwest::Method::from_bytes(method.to_ascii_uppercase().as_bytes())?;
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let json = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).context(text)? };
        Ok(Answer { status, headers, json })
    }

    pub async fn register(&self, email: &str) -> Result<Person> {
        let body = json!({ "email": email, "password": PASSWORD });
        let answer = self.send("POST", "/v1/auth/register", "", &body).await?;
        Ok(Person { id: answer.text("/user/id")?, access: answer.text("/access_token")? })
    }

    /// A key with these scopes in the namespace of the token: its id and the secret.
    pub async fn key(&self, token: &str, scopes: &[&str]) -> Result<(String, String)> {
        let answer = self.send("POST", "/v1/keys", token, &json!({ "name": "a key", "scopes": scopes })).await?;
        Ok((answer.text("/id")?, answer.text("/secret")?))
    }

    /// A counter's value, over all its labels.
    pub fn counted(&self, name: &str) -> Result<f64> {
        let text = self.metrics.render()?;
        let name = format!("taskyard_{name}");
        let lines = text.lines().filter(|line| line.starts_with(&name));
        Ok(lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
    }
}
