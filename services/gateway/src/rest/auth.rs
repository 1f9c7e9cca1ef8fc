//! Sign in, stay signed in, sign out; and who one is.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;
use taskyard_core::Result;
use taskyard_proto::v1;
use taskyard_runtime::http_error::Problem;

use super::{ask::present, tasks::Nothing};
use crate::{
    app::App,
    read::{Call, JsonBody, OptionalJsonBody, Params, SignInId, UserAgent},
    shape::{Me, SignIns, SignedIn, Tokens, User},
};

/// The body of `POST /v1/auth/register`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Registration")]
pub(super) struct Register {
    email: String,
    password: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
}

/// `POST /v1/auth/register`
pub(super) async fn register(
    State(app): State<App>,
    call: Call,
    params: Params,
    body: JsonBody<Register>,
) -> Result<Response, Problem> {
    params.finish()?;
    let Register { email, password, name, namespace } = body.value;
    let request = v1::RegisterRequest { email, password, name, namespace };
    let answer = app.ask(&call, request, |pod, message| async { pod.users().register(message).await }).await?;
    let signed_in = SignedIn::new(present(answer.user)?, present(answer.tokens)?)?;
    Ok((StatusCode::CREATED, Json(signed_in)).into_response())
}

/// The body of `POST /v1/auth/sign-in`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewSignIn")]
pub(super) struct SignIn {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
    /// In the place of e-mail address and password: an OpenID Connect id token of an issuer that is trusted here.
    #[serde(default)]
    id_token: String,
    #[serde(default)]
    namespace: String,
}

/// `POST /v1/auth/sign-in`
pub(super) async fn sign_in(
    State(app): State<App>,
    call: Call,
    UserAgent(agent): UserAgent,
    params: Params,
    body: JsonBody<SignIn>,
) -> Result<Json<SignedIn>, Problem> {
    params.finish()?;
    let SignIn { email, password, id_token, namespace } = body.value;
    let request = v1::SignInRequest { email, password, namespace, agent, id_token };
    let answer = app.ask(&call, request, |pod, message| async { pod.users().sign_in(message).await }).await?;
    Ok(Json(SignedIn::new(present(answer.user)?, present(answer.tokens)?)?))
}

/// The body of `POST /v1/auth/refresh`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RefreshTokens")]
pub(super) struct Refresh {
    refresh_token: String,
    #[serde(default)]
    namespace: String,
}

/// `POST /v1/auth/refresh`
pub(super) async fn refresh(
    State(app): State<App>,
    call: Call,
    params: Params,
    body: JsonBody<Refresh>,
) -> Result<Json<Tokens>, Problem> {
    params.finish()?;
    let Refresh { refresh_token, namespace } = body.value;
    let request = v1::RefreshTokensRequest { refresh_token, namespace };
    let answer = app.ask(&call, request, |pod, message| async { pod.users().refresh_tokens(message).await }).await?;
    Ok(Json(present(answer.tokens)?.try_into()?))
}

/// `POST /v1/auth/sign-out`
pub(super) async fn sign_out(
    State(app): State<App>,
    call: Call,
    params: Params,
    _: OptionalJsonBody<Nothing>,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let request = v1::SignOutRequest::default();
    app.ask(&call, request, |pod, message| async { pod.users().sign_out(message).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/auth/sign-ins`
pub(super) async fn sign_ins(State(app): State<App>, call: Call, params: Params) -> Result<Json<SignIns>, Problem> {
    params.finish()?;
    let request = v1::ListSignInsRequest {};
    let answer = app.ask(&call, request, |pod, message| async { pod.users().list_sign_ins(message).await }).await?;
    Ok(Json(answer.try_into()?))
}

/// `DELETE /v1/auth/sign-ins/{id}`
pub(super) async fn end_sign_in(
    State(app): State<App>,
    call: Call,
    SignInId(id): SignInId,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let request = v1::SignOutRequest { id };
    app.ask(&call, request, |pod, message| async { pod.users().sign_out(message).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/auth/sign-ins`
pub(super) async fn end_all_sign_ins(
    State(app): State<App>,
    call: Call,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let request = v1::SignOutEverywhereRequest {};
    app.ask(&call, request, |pod, message| async { pod.users().sign_out_everywhere(message).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/me`
pub(super) async fn me(State(app): State<App>, call: Call, params: Params) -> Result<Json<Me>, Problem> {
    params.finish()?;
    let request = v1::WhoAmIRequest {};
    let answer = app.ask(&call, request, |pod, message| async { pod.users().who_am_i(message).await }).await?;
    Ok(Json(answer.try_into()?))
}

/// The body of `PATCH /v1/me`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateMe {
    name: String,
}

/// `PATCH /v1/me`
pub(super) async fn update_me(
    State(app): State<App>,
    call: Call,
    params: Params,
    body: JsonBody<UpdateMe>,
) -> Result<Json<User>, Problem> {
    params.finish()?;
    let request = v1::UpdateUserRequest { name: body.value.name };
    let answer = app.ask(&call, request, |pod, message| async { pod.users().update_user(message).await }).await?;
    Ok(Json(present(answer.user)?.try_into()?))
}

/// The body of `PUT /v1/me/password`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangePassword {
    old_password: String,
    new_password: String,
}

/// `PUT /v1/me/password`
pub(super) async fn change_password(
    State(app): State<App>,
    call: Call,
    params: Params,
    body: JsonBody<ChangePassword>,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let ChangePassword { old_password, new_password } = body.value;
    let request = v1::ChangePasswordRequest { old_password, new_password };
    app.ask(&call, request, |pod, message| async { pod.users().change_password(message).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /.well-known/jwks.json`
pub(super) async fn key_set(State(app): State<App>, call: Call, params: Params) -> Result<Response, Problem> {
    params.finish()?;
    let request = v1::GetKeySetRequest {};
    let answer = app.ask(&call, request, |pod, message| async { pod.users().get_key_set(message).await }).await?;
    Ok(([("content-type", "application/jwk-set+json")], answer.jwks_json).into_response())
}
