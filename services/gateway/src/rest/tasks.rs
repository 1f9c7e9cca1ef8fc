//! Single tasks, and the list of them.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::ETAG},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use taskyard_core::{
    Error, Result,
    limits::{ERROR_BYTES_MAX, RESULT_BYTES_MAX},
};
use taskyard_proto::v1;
use taskyard_redis::Kept;
use taskyard_runtime::http_error::Problem;

use super::ask::present;
use crate::{
    answers::{Fresh, Reader, Served, name_of},
    app::App,
    read::{Call, IfMatch, IfNoneMatch, OptionalJsonBody, Params, TaskId, etag},
    shape::{Filter, Order, Task, Tasks},
};

/// `GET /v1/tasks`
pub(super) async fn list(
    State(app): State<App>,
    call: Call,
    reader: Reader,
    mut params: Params,
) -> Result<Served, Problem> {
    let request = v1::ListTasksRequest {
        filter: Some(Filter::from_params(&mut params)?),
        order: params.parsed::<Order>("order")?.map(Order::number).unwrap_or_default(),
        page_size: params.number("page_size")?,
        page_token: params.text("page_token"),
    };
    params.finish()?;
    // The index of labels and creators follows later: what it lacks now must not be kept.
    let is_indexed = request.filter.as_ref().is_some_and(|it| !it.labels.is_empty() || !it.creator.is_empty());
    let name = name_of(&request);
    let source = Box::pin(async {
        let page = app.ask(&call, request, |pod, message| async { pod.tasks().list_tasks(message).await }).await?;
        let lasts = !is_indexed && page.tasks.iter().all(lasts);
        Fresh::new(0, lasts, &Tasks::try_from(page)?)
    });
    Ok(app.answers().get(&reader, Kept::Many("tasks", &name), None, source).await?)
}

/// Progress moves on without a new version.
fn lasts(task: &v1::Task) -> bool {
    task.state() != v1::TaskState::Running
}

/// `GET /v1/tasks/{id}`
pub(super) async fn get(
    State(app): State<App>,
    call: Call,
    reader: Reader,
    TaskId(id): TaskId,
    known: IfNoneMatch,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let kept = Kept::Task(id.parse().map_err(Error::internal)?);
    let source = Box::pin(async {
        let request = v1::GetTaskRequest { id };
        let answer = app.ask(&call, request, |pod, message| async { pod.tasks().get_task(message).await }).await?;
        let task = present(answer.task)?;
        let moves = task.progress.is_some();
        Ok(Fresh { moves, ..Fresh::new(task.version, lasts(&task), &Task::try_from(task)?)? })
    });
    let served = app.answers().get(&reader, kept, None, source).await?;
    let version = (ETAG, etag(served.fresh.version));
    if known.holds(served.fresh.version) && !served.fresh.moves {
        return Ok((StatusCode::NOT_MODIFIED, [version, served.from.header()]).into_response());
    }
    Ok(([version], served).into_response())
}

/// `DELETE /v1/tasks/{id}`
pub(super) async fn delete(
    State(app): State<App>,
    call: Call,
    TaskId(id): TaskId,
    version: IfMatch,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let request = v1::DeleteTaskRequest { id, version: version.number() };
    app.ask(&call, request, |pod, message| async { pod.tasks().delete_task(message).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The body of `POST /v1/tasks/{id}/complete`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "CompleteTask")]
pub(super) struct Complete {
    /// Any JSON document.
    #[schemars(extend("x-bytes-max" = RESULT_BYTES_MAX))]
    result: Option<Box<RawValue>>,
}

/// `POST /v1/tasks/{id}/complete`
pub(super) async fn complete(
    State(app): State<App>,
    call: Call,
    TaskId(id): TaskId,
    version: IfMatch,
    params: Params,
    OptionalJsonBody(body): OptionalJsonBody<Complete>,
) -> Result<Response, Problem> {
    params.finish()?;
    let result = body.and_then(|body| body.value.result);
    let result = result.map(|result| String::from(Box::<str>::from(result)).into()).unwrap_or_default();
    let request = v1::CompleteTaskRequest { id, result, version: version.number() };
    let answer = app.ask(&call, request, |pod, message| async { pod.tasks().complete_task(message).await }).await?;
    Ok(shown(answer.task)?)
}

/// The body of `POST /v1/tasks/{id}/cancel`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "CancelTask")]
pub(super) struct Cancel {
    /// Kept as the task's error; a longer one is cut.
    #[schemars(extend("x-bytes-max" = ERROR_BYTES_MAX))]
    reason: Option<String>,
}

/// `POST /v1/tasks/{id}/cancel`
pub(super) async fn cancel(
    State(app): State<App>,
    call: Call,
    TaskId(id): TaskId,
    version: IfMatch,
    params: Params,
    OptionalJsonBody(body): OptionalJsonBody<Cancel>,
) -> Result<Response, Problem> {
    params.finish()?;
    let reason = body.and_then(|body| body.value.reason).unwrap_or_default();
    let request = v1::CancelTaskRequest { id, reason, version: version.number() };
    let answer = app.ask(&call, request, |pod, message| async { pod.tasks().cancel_task(message).await }).await?;
    Ok(shown(answer.task)?)
}

/// A body that says nothing.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// `POST /v1/tasks/{id}/retry`
pub(super) async fn retry(
    State(app): State<App>,
    call: Call,
    TaskId(id): TaskId,
    version: IfMatch,
    params: Params,
    _: OptionalJsonBody<Nothing>,
) -> Result<Response, Problem> {
    params.finish()?;
    let request = v1::RetryTaskRequest { id, version: version.number() };
    let answer = app.ask(&call, request, |pod, message| async { pod.tasks().retry_task(message).await }).await?;
    Ok(shown(answer.task)?)
}

/// A task with its version as the ETag.
pub(super) fn shown(task: Option<v1::Task>) -> Result<Response> {
    let task = Task::try_from(present(task)?)?;
    Ok(([(ETAG, etag(task.version))], Json(task)).into_response())
}
