//! Namespaces, members, invitations.

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

use super::ask::present;
use crate::{
    app::App,
    read::{Call, InvitationOf, JsonBody, MemberOf, NamespaceName, Params},
    shape::{InvitationSecret, Invitations, Member, Members, Namespace, Namespaces, Role},
};

/// `GET /v1/namespaces`
pub(super) async fn list(State(app): State<App>, call: Call, mut params: Params) -> Result<Json<Namespaces>, Problem> {
    let page_size = params.number("page_size")?;
    let request = v1::ListNamespacesRequest { page_size, page_token: params.text("page_token") };
    params.finish()?;
    let page = app.ask(&call, request, |pod, message| async { pod.namespaces().list_namespaces(message).await });
    Ok(Json(page.await?.try_into()?))
}

/// The body of `POST /v1/namespaces`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewNamespace")]
pub(super) struct Create {
    name: String,
}

/// `POST /v1/namespaces`
pub(super) async fn create(
    State(app): State<App>,
    call: Call,
    params: Params,
    body: JsonBody<Create>,
) -> Result<Response, Problem> {
    params.finish()?;
    let request = v1::CreateNamespaceRequest { name: body.value.name };
    let answer = app.ask(&call, request, |pod, message| async { pod.namespaces().create_namespace(message).await });
    let namespace = Namespace::try_from(present(answer.await?.namespace)?)?;
    Ok((StatusCode::CREATED, Json(namespace)).into_response())
}

/// `GET /v1/namespaces/{name}`
pub(super) async fn get(
    State(app): State<App>,
    call: Call,
    NamespaceName(name): NamespaceName,
    params: Params,
) -> Result<Json<Namespace>, Problem> {
    params.finish()?;
    let request = v1::GetNamespaceRequest { name };
    let answer = app.ask(&call, request, |pod, message| async { pod.namespaces().get_namespace(message).await });
    Ok(Json(present(answer.await?.namespace)?.try_into()?))
}

/// `DELETE /v1/namespaces/{name}`
pub(super) async fn delete(
    State(app): State<App>,
    call: Call,
    NamespaceName(name): NamespaceName,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let request = v1::DeleteNamespaceRequest { name };
    let answer = app.ask(&call, request, |pod, message| async { pod.namespaces().delete_namespace(message).await });
    let namespace = Namespace::try_from(present(answer.await?.namespace)?)?;
    Ok((StatusCode::ACCEPTED, Json(namespace)).into_response())
}

/// The body of `POST /v1/namespaces/{name}/transfer`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Transfer {
    user_id: String,
}

/// `POST /v1/namespaces/{name}/transfer`
pub(super) async fn transfer(
    State(app): State<App>,
    call: Call,
    NamespaceName(name): NamespaceName,
    params: Params,
    body: JsonBody<Transfer>,
) -> Result<Json<Namespace>, Problem> {
    params.finish()?;
    let request = v1::TransferNamespaceRequest { name, user_id: body.value.user_id };
    let answer = app.ask(&call, request, |pod, message| async { pod.namespaces().transfer_namespace(message).await });
    Ok(Json(present(answer.await?.namespace)?.try_into()?))
}

/// `GET /v1/namespaces/{name}/members`
pub(super) async fn members(
    State(app): State<App>,
    call: Call,
    NamespaceName(namespace): NamespaceName,
    mut params: Params,
) -> Result<Json<Members>, Problem> {
    let page_size = params.number("page_size")?;
    let request = v1::ListMembersRequest { namespace, page_size, page_token: params.text("page_token") };
    params.finish()?;
    let page = app.ask(&call, request, |pod, message| async { pod.namespaces().list_members(message).await });
    Ok(Json(page.await?.try_into()?))
}

/// The body of `PUT /v1/namespaces/{name}/members/{user_id}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetRole {
    role: Role,
}

/// `PUT /v1/namespaces/{name}/members/{user_id}`
pub(super) async fn set_role(
    State(app): State<App>,
    call: Call,
    MemberOf { namespace, user_id }: MemberOf,
    params: Params,
    body: JsonBody<SetRole>,
) -> Result<Json<Member>, Problem> {
    params.finish()?;
    let request = v1::SetMemberRoleRequest { namespace, user_id, role: body.value.role.number() };
    let answer = app.ask(&call, request, |pod, message| async { pod.namespaces().set_member_role(message).await });
    Ok(Json(present(answer.await?.member)?.try_into()?))
}

/// `DELETE /v1/namespaces/{name}/members/{user_id}`
pub(super) async fn remove_member(
    State(app): State<App>,
    call: Call,
    MemberOf { namespace, user_id }: MemberOf,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let request = v1::RemoveMemberRequest { namespace, user_id };
    app.ask(&call, request, |pod, message| async { pod.namespaces().remove_member(message).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/namespaces/{name}/invitations`
pub(super) async fn invitations(
    State(app): State<App>,
    call: Call,
    NamespaceName(namespace): NamespaceName,
    params: Params,
) -> Result<Json<Invitations>, Problem> {
    params.finish()?;
    let request = v1::ListInvitationsRequest { namespace };
    let answer = app.ask(&call, request, |pod, message| async { pod.namespaces().list_invitations(message).await });
    Ok(Json(answer.await?.try_into()?))
}

/// The body of `POST /v1/namespaces/{name}/invitations`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewInvitation")]
pub(super) struct Invite {
    email: String,
    role: Role,
}

/// `POST /v1/namespaces/{name}/invitations`
pub(super) async fn invite(
    State(app): State<App>,
    call: Call,
    NamespaceName(namespace): NamespaceName,
    params: Params,
    body: JsonBody<Invite>,
) -> Result<Response, Problem> {
    params.finish()?;
    let Invite { email, role } = body.value;
    let request = v1::CreateInvitationRequest { namespace, email, role: role.number() };
    let answer = app.ask(&call, request, |pod, message| async { pod.namespaces().create_invitation(message).await });
    Ok((StatusCode::CREATED, Json(InvitationSecret::try_from(answer.await?)?)).into_response())
}

/// `DELETE /v1/namespaces/{name}/invitations/{id}`
pub(super) async fn delete_invitation(
    State(app): State<App>,
    call: Call,
    InvitationOf { namespace, id }: InvitationOf,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let request = v1::DeleteInvitationRequest { namespace, id };
    app.ask(&call, request, |pod, message| async { pod.namespaces().delete_invitation(message).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The body of `POST /v1/invitations/accept`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AcceptInvitation")]
pub(super) struct Accept {
    secret: String,
}

/// `POST /v1/invitations/accept`
pub(super) async fn accept(
    State(app): State<App>,
    call: Call,
    params: Params,
    body: JsonBody<Accept>,
) -> Result<Json<Namespace>, Problem> {
    params.finish()?;
    let request = v1::AcceptInvitationRequest { secret: body.value.secret };
    let answer = app.ask(&call, request, |pod, message| async { pod.namespaces().accept_invitation(message).await });
    Ok(Json(present(answer.await?.namespace)?.try_into()?))
}
