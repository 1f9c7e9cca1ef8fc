//! Names in paths.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use serde_json::json;
use taskyard_core::{Error, ErrorCode, Result, limits};
use taskyard_proto::convert::{read_task_id, read_uuid};
use taskyard_runtime::http_error::Problem;

use crate::{
    app::App,
    openapi::{Input, Operation},
    shape::described,
};

/// A task's id, as a path names it.
#[derive(Debug)]
pub(crate) struct TaskId(pub(crate) String);

impl FromRequestParts<App> for TaskId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let text = segment(parts, app, "id").await?;
        Ok(Self(read_task_id("id", &text)?.to_string()))
    }
}

impl Input for TaskId {
    fn describe(operation: &mut Operation) {
        operation.add_parameter("path", "id", json!({ "type": "string", "format": "uuid" }), "The task's id.");
        operation.add_error(ErrorCode::TaskNotFound);
    }
}

/// A queue's name, as a path names it.
#[derive(Debug)]
pub(crate) struct QueueName(pub(crate) String);

impl FromRequestParts<App> for QueueName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let name = segment(parts, app, "name").await?;
        limits::check_name("name", &name)?;
        Ok(Self(name))
    }
}

impl Input for QueueName {
    fn describe(operation: &mut Operation) {
        operation.add_parameter("path", "name", described::name(), "The queue's name.");
        operation.add_error(ErrorCode::QueueNotFound);
    }
}

/// A key's id, as a path names it.
#[derive(Debug)]
pub(crate) struct KeyId(pub(crate) String);

impl FromRequestParts<App> for KeyId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Ok(Self(read_uuid("id", &segment(parts, app, "id").await?)?.to_string()))
    }
}

/// A sign-in's id, as a path names it.
#[derive(Debug)]
pub(crate) struct SignInId(pub(crate) String);

impl FromRequestParts<App> for SignInId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Ok(Self(read_uuid("id", &segment(parts, app, "id").await?)?.to_string()))
    }
}

/// A user's id, as a path names it.
#[derive(Debug)]
pub(crate) struct UserId(pub(crate) String);

impl FromRequestParts<App> for UserId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Ok(Self(read_uuid("user_id", &segment(parts, app, "user_id").await?)?.to_string()))
    }
}

/// A namespace's name, as a path names it.
#[derive(Debug)]
pub(crate) struct NamespaceName(pub(crate) String);

impl FromRequestParts<App> for NamespaceName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let name = segment(parts, app, "name").await?;
        limits::check_namespace_name("name", &name)?;
        Ok(Self(name))
    }
}

/// A schedule's name, as a path names it.
#[derive(Debug)]
pub(crate) struct ScheduleName(pub(crate) String);

impl FromRequestParts<App> for ScheduleName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let QueueName(name) = QueueName::from_request_parts(parts, app).await?;
        Ok(Self(name))
    }
}

/// A member of a namespace, as a path names it.
#[derive(Debug)]
pub(crate) struct MemberOf {
    pub(crate) namespace: String,
    pub(crate) user_id: String,
}

impl FromRequestParts<App> for MemberOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let (namespace, user_id) = two_segments(parts, app, "user_id").await?;
        Ok(Self { namespace, user_id })
    }
}

/// An invitation to a namespace, as a path names it.
#[derive(Debug)]
pub(crate) struct InvitationOf {
    pub(crate) namespace: String,
    pub(crate) id: String,
}

impl FromRequestParts<App> for InvitationOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let (namespace, id) = two_segments(parts, app, "id").await?;
        Ok(Self { namespace, id })
    }
}

async fn two_segments(parts: &mut Parts, app: &App, field: &str) -> Result<(String, String)> {
    let path = Path::<(String, String)>::from_request_parts(parts, app).await;
    let Path((namespace, id)) = path.map_err(|error| Error::invalid(field, error.body_text()))?;
    limits::check_namespace_name("name", &namespace)?;
    Ok((namespace, read_uuid(field, &id)?.to_string()))
}

impl Input for KeyId {
    fn describe(operation: &mut Operation) {
        operation.add_parameter("path", "id", described::uuid(), "The key's id.");
        operation.add_error(ErrorCode::KeyNotFound);
    }
}

impl Input for SignInId {
    fn describe(operation: &mut Operation) {
        operation.add_parameter("path", "id", described::uuid(), "The sign-in's id.");
    }
}

impl Input for NamespaceName {
    fn describe(operation: &mut Operation) {
        operation.add_parameter("path", "name", described::namespace_name(), "The namespace's name.");
        operation.add_error(ErrorCode::NamespaceNotFound);
    }
}

impl Input for ScheduleName {
    fn describe(operation: &mut Operation) {
        operation.add_parameter("path", "name", described::name(), "The schedule's name.");
        operation.add_error(ErrorCode::ScheduleNotFound);
    }
}

impl Input for UserId {
    fn describe(operation: &mut Operation) {
        operation.add_parameter("path", "user_id", described::uuid(), "The user's id.");
        operation.add_error(ErrorCode::UserNotFound);
    }
}

impl Input for MemberOf {
    fn describe(operation: &mut Operation) {
        operation.add_parameter("path", "name", described::namespace_name(), "The namespace's name.");
        operation.add_parameter("path", "user_id", described::uuid(), "The member's id.");
        operation.add_error(ErrorCode::NamespaceNotFound);
        operation.add_error(ErrorCode::UserNotFound);
    }
}

impl Input for InvitationOf {
    fn describe(operation: &mut Operation) {
        operation.add_parameter("path", "name", described::namespace_name(), "The namespace's name.");
        operation.add_parameter("path", "id", described::uuid(), "The invitation's id.");
        operation.add_error(ErrorCode::NamespaceNotFound);
    }
}

async fn segment(parts: &mut Parts, app: &App, field: &str) -> Result<String> {
    let path = Path::<String>::from_request_parts(parts, app).await;
    path.map(|Path(text)| text).map_err(|error| Error::invalid(field, error.body_text()))
}
