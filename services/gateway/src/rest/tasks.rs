//! Single tasks, and the list of them.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::ETAG},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use taskyard_core::Result;
use taskyard_proto::v1;
use taskyard_runtime::http_error::Problem;

use super::ask::present;
use crate::{
    app::App,
    read::{Call, OptionalJsonBody, Params, TaskId, etag},
    shape::{Filter, Order, Task, Tasks},
};

/// `GET /v1/tasks`
pub(super) async fn list(State(app): State<App>, call: Call, mut params: Params) -> Result<Json<Tasks>, Problem> {
    let request = v1::ListTasksRequest {
        filter: Some(Filter::from_params(&mut params)?),
        order: params.parsed::<Order>("order")?.map(Order::number).unwrap_or_default(),
        page_size: params.number("page_size")?,
        page_token: params.text("page_token"),
    };
    params.finish()?;
    let page = app.ask(&call, request, |pod, message| async { pod.tasks().list_tasks(message).await }).await?;
    Ok(Json(page.try_into()?))
}

/// `GET /v1/tasks/{id}`
pub(super) async fn get(
    State(app): State<App>,
    call: Call,
    TaskId(id): TaskId,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let request = v1::GetTaskRequest { id };
    let answer = app.ask(&call, request, |pod, message| async { pod.tasks().get_task(message).await }).await?;
    Ok(shown(answer.task)?)
}

/// `DELETE /v1/tasks/{id}`
pub(super) async fn delete(
    State(app): State<App>,
    call: Call,
    TaskId(id): TaskId,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let request = v1::DeleteTaskRequest { id };
    app.ask(&call, request, |pod, message| async { pod.tasks().delete_task(message).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The body of `POST /v1/tasks/{id}/complete`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Complete {
    result: Option<Box<RawValue>>,
}

/// `POST /v1/tasks/{id}/complete`
pub(super) async fn complete(
    State(app): State<App>,
    call: Call,
    TaskId(id): TaskId,
    params: Params,
    OptionalJsonBody(body): OptionalJsonBody<Complete>,
) -> Result<Response, Problem> {
    params.finish()?;
    let result = body.and_then(|body| body.value.result);
    let result = result.map(|result| String::from(Box::<str>::from(result)).into()).unwrap_or_default();
    let request = v1::CompleteTaskRequest { id, result };
    let answer = app.ask(&call, request, |pod, message| async { pod.tasks().complete_task(message).await }).await?;
    Ok(shown(answer.task)?)
}

/// The body of `POST /v1/tasks/{id}/cancel`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cancel {
    reason: Option<String>,
}

/// `POST /v1/tasks/{id}/cancel`
pub(super) async fn cancel(
    State(app): State<App>,
    call: Call,
    TaskId(id): TaskId,
    params: Params,
    OptionalJsonBody(body): OptionalJsonBody<Cancel>,
) -> Result<Response, Problem> {
    params.finish()?;
    let reason = body.and_then(|body| body.value.reason).unwrap_or_default();
    let request = v1::CancelTaskRequest { id, reason };
    let answer = app.ask(&call, request, |pod, message| async { pod.tasks().cancel_task(message).await }).await?;
    Ok(shown(answer.task)?)
}

/// A body that says nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// `POST /v1/tasks/{id}/retry`
pub(super) async fn retry(
    State(app): State<App>,
    call: Call,
    TaskId(id): TaskId,
    params: Params,
    _: OptionalJsonBody<Nothing>,
) -> Result<Response, Problem> {
    params.finish()?;
    let request = v1::RetryTaskRequest { id };
    let answer = app.ask(&call, request, |pod, message| async { pod.tasks().retry_task(message).await }).await?;
    Ok(shown(answer.task)?)
}

/// A task with its version as the ETag.
pub(super) fn shown(task: Option<v1::Task>) -> Result<Response> {
    let task = Task::try_from(present(task)?)?;
    Ok(([(ETAG, etag(task.version))], Json(task)).into_response())
}
