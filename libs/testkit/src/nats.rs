//! The way into NATS.

use anyhow::{Context, Result};
use async_nats::{Client, ConnectOptions, ServerAddr};

/// Connects to NATS as the user of the url, which the client would not do by itself.
///
/// # Errors
/// When the url is wrong or NATS cannot be reached.
pub async fn connect_nats(url: &str) -> Result<Client> {
    let server: ServerAddr = url.parse().context("not the url of a NATS server")?;
    let options = match (server.username(), server.password()) {
        (Some(user), Some(password)) => ConnectOptions::with_user_and_password(user.into(), password.into()),
        (Some(token), None) => ConnectOptions::with_token(token.into()),
        _ => ConnectOptions::new(),
    };
    options.connect(server).await.context("cannot connect to NATS")
}
