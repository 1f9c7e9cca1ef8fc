//! Names in paths.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use serde_json::json;
use taskyard_core::{Error, ErrorCode, Result, limits};
use taskyard_proto::convert::read_task_id;
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

async fn segment(parts: &mut Parts, app: &App, field: &str) -> Result<String> {
    let path = Path::<String>::from_request_parts(parts, app).await;
    path.map(|Path(text)| text).map_err(|error| Error::invalid(field, error.body_text()))
}
