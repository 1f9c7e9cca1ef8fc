//! Keys of programs and workers.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use taskyard_core::{Result, limits::WORKER_NAMES_MAX};
use taskyard_proto::{convert::timestamp_to_proto, v1};
use taskyard_runtime::http_error::Problem;

use crate::{
    app::App,
    read::{Call, JsonBody, KeyId, List, Params},
    shape::{Key, KeySecret, Keys},
};

use super::ask::present;

/// Scopes that a key can name; there are fewer.
const SCOPES_MAX: usize = 16;

/// `GET /v1/keys`
pub(super) async fn list(State(app): State<App>, call: Call, mut params: Params) -> Result<Json<Keys>, Problem> {
    let page_size = params.number("page_size")?;
    let request = v1::ListKeysRequest { page_size, page_token: params.text("page_token") };
    params.finish()?;
    let page = app.ask(&call, request, |pod, message| async { pod.keys().list_keys(message).await }).await?;
    Ok(Json(page.try_into()?))
}

/// The body of `POST /v1/keys`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewKey")]
pub(super) struct Create {
    name: String,
    scopes: List<String, SCOPES_MAX>,
    queues: Option<List<String, WORKER_NAMES_MAX>>,
    expires_at: Option<DateTime<Utc>>,
}

/// `POST /v1/keys`
pub(super) async fn create(
    State(app): State<App>,
    call: Call,
    params: Params,
    body: JsonBody<Create>,
) -> Result<Response, Problem> {
    params.finish()?;
    let Create { name, scopes, queues, expires_at } = body.value;
    let request = v1::CreateKeyRequest {
        name,
        scopes: scopes.0,
        queues: queues.map(|queues| queues.0).unwrap_or_default(),
        expires_time: expires_at.map(timestamp_to_proto),
    };
    let answer = app.ask(&call, request, |pod, message| async { pod.keys().create_key(message).await }).await?;
    Ok((StatusCode::CREATED, Json(KeySecret::try_from(answer)?)).into_response())
}

/// `DELETE /v1/keys/{id}`
pub(super) async fn revoke(
    State(app): State<App>,
    call: Call,
    KeyId(id): KeyId,
    params: Params,
) -> Result<Json<Key>, Problem> {
    params.finish()?;
    let request = v1::RevokeKeyRequest { id };
    let answer = app.ask(&call, request, |pod, message| async { pod.keys().revoke_key(message).await }).await?;
    Ok(Json(present(answer.key)?.try_into()?))
}
