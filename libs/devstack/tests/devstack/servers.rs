//! What a test does with the servers: each of these is one short connection.

use anyhow::{Context, Result};
use async_nats::jetstream;
use fred::prelude::*;
use sqlx::{Connection, Executor, PgConnection, Row};

pub(crate) async fn postgres_run(url: &str, sql: &'static str) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(sql).await?;
    Ok(connection.close().await?)
}

pub(crate) async fn postgres_text(url: &str, sql: &'static str) -> Result<String> {
    let mut connection = PgConnection::connect(url).await?;
    let text = connection.fetch_one(sql).await?.try_get(0)?;
    connection.close().await?;
    Ok(text)
}

pub(crate) async fn nats_publish(url: &str, text: &'static str) -> Result<()> {
    let stream = jetstream::new(nats(url).await?);
    let configuration =
        jetstream::stream::Config { name: "KEPT".to_owned(), subjects: vec!["kept".to_owned()], ..Default::default() };
    stream.get_or_create_stream(configuration).await?;
    stream.publish("kept", text.into()).await?.await?;
    Ok(())
}

/// The last message that [`nats_publish`] left; none when its stream is gone.
pub(crate) async fn nats_text(url: &str) -> Result<Option<String>> {
    let context = jetstream::new(nats(url).await?);
    let Ok(stream) = context.get_stream("KEPT").await else { return Ok(None) };
    let message = stream.get_last_raw_message_by_subject("kept").await?;
    Ok(Some(String::from_utf8(message.payload.to_vec())?))
}

pub(crate) async fn redis_set(url: &str, value: &str) -> Result<()> {
    let client = redis(url).await?;
    let () = client.set("kept", value, None, None, false).await?;
    Ok(client.quit().await?)
}

pub(crate) async fn redis_get(url: &str) -> Result<Option<String>> {
    let client = redis(url).await?;
    let value = client.get("kept").await?;
    client.quit().await?;
    Ok(value)
}

/// The client does not take user and password from the url by itself.
async fn nats(url: &str) -> Result<async_nats::Client> {
    let server: async_nats::ServerAddr = url.parse()?;
    let options = match (server.username(), server.password()) {
        (Some(user), Some(password)) => {
            async_nats::ConnectOptions::with_user_and_password(user.into(), password.into())
        }
        _ => async_nats::ConnectOptions::new(),
    };
    Ok(options.connect(server).await?)
}

async fn redis(url: &str) -> Result<Client> {
    let client = Client::new(Config::from_url(url)?, None, None, None);
    client.init().await.context("cannot connect")?;
    Ok(client)
}
