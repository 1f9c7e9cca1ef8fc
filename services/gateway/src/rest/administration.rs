//! Across namespaces, for administrators of the installation.

use axum::{Json, extract::State, http::StatusCode};
use taskyard_core::Result;
use taskyard_proto::v1;
use taskyard_runtime::http_error::Problem;

use super::tasks::Nothing;
use crate::{
    app::App,
    read::{Call, JsonBody, NamespaceName, OptionalJsonBody, Params, UserId},
    shape::{AuditEntries, NamespaceOverviews, NewQuota, UserOverviews},
};

/// `GET /v1/admin/namespaces`
pub(super) async fn namespaces(
    State(app): State<App>,
    call: Call,
    mut params: Params,
) -> Result<Json<NamespaceOverviews>, Problem> {
    let page_size = params.number("page_size")?;
    let (page_token, name) = (params.text("page_token"), params.text("name"));
    let request = v1::ListAllNamespacesRequest { page_size, page_token, name };
    params.finish()?;
    let page = app.ask(&call, request, |pod, message| async { pod.admin().list_all_namespaces(message).await });
    Ok(Json(page.await?.try_into()?))
}

/// `PUT /v1/admin/namespaces/{name}/quota`
pub(super) async fn set_quota(
    State(app): State<App>,
    call: Call,
    NamespaceName(name): NamespaceName,
    params: Params,
    body: JsonBody<NewQuota>,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let request = v1::SetNamespaceQuotaRequest { name, quota: Some(body.value.into()) };
    app.ask(&call, request, |pod, message| async { pod.admin().set_namespace_quota(message).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/admin/users`
pub(super) async fn users(
    State(app): State<App>,
    call: Call,
    mut params: Params,
) -> Result<Json<UserOverviews>, Problem> {
    let page_size = params.number("page_size")?;
    let (page_token, email) = (params.text("page_token"), params.text("email"));
    let request = v1::ListUsersRequest { page_size, page_token, email };
    params.finish()?;
    let page = app.ask(&call, request, |pod, message| async { pod.admin().list_users(message).await }).await?;
    Ok(Json(page.try_into()?))
}

/// `POST /v1/admin/users/{user_id}/disable`
pub(super) async fn disable(
    State(app): State<App>,
    call: Call,
    UserId(user_id): UserId,
    params: Params,
    _: OptionalJsonBody<Nothing>,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    set_disabled(&app, &call, user_id, true).await
}

/// `POST /v1/admin/users/{user_id}/enable`
pub(super) async fn enable(
    State(app): State<App>,
    call: Call,
    UserId(user_id): UserId,
    params: Params,
    _: OptionalJsonBody<Nothing>,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    set_disabled(&app, &call, user_id, false).await
}

async fn set_disabled(app: &App, call: &Call, user_id: String, disabled: bool) -> Result<StatusCode, Problem> {
    let request = v1::SetUserDisabledRequest { user_id, disabled };
    app.ask(call, request, |pod, message| async { pod.admin().set_user_disabled(message).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/admin/users/{user_id}/make-admin`
pub(super) async fn make_admin(
    State(app): State<App>,
    call: Call,
    UserId(user_id): UserId,
    params: Params,
    _: OptionalJsonBody<Nothing>,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    set_admin(&app, &call, user_id, true).await
}

/// `POST /v1/admin/users/{user_id}/unmake-admin`
pub(super) async fn unmake_admin(
    State(app): State<App>,
    call: Call,
    UserId(user_id): UserId,
    params: Params,
    _: OptionalJsonBody<Nothing>,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    set_admin(&app, &call, user_id, false).await
}

async fn set_admin(app: &App, call: &Call, user_id: String, is_site_admin: bool) -> Result<StatusCode, Problem> {
    let request = v1::SetUserAdminRequest { user_id, is_site_admin };
    app.ask(call, request, |pod, message| async { pod.admin().set_user_admin(message).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/admin/audit`
pub(super) async fn audit(
    State(app): State<App>,
    call: Call,
    mut params: Params,
) -> Result<Json<AuditEntries>, Problem> {
    let page_size = params.number("page_size")?;
    let request = v1::ListAuditEntriesRequest { page_size, page_token: params.text("page_token") };
    params.finish()?;
    let page = app.ask(&call, request, |pod, message| async { pod.admin().list_audit_entries(message).await });
    Ok(Json(page.await?.try_into()?))
}
