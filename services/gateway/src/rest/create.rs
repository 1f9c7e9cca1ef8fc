//! One new task.

use axum::{
    extract::State,
    http::{
        HeaderValue, StatusCode,
        header::{ETAG, LOCATION},
    },
    response::{IntoResponse, Response},
};
use taskyard_core::{Error, Result, id::new_task_id};
use taskyard_proto::v1;
use taskyard_runtime::http_error::Problem;

use super::ask::present;
use crate::{
    app::App,
    read::{Call, IdempotencyKey, JsonBody, Params, etag},
    shape::{NewTask, Task},
};

/// `POST /v1/tasks`
pub(super) async fn create(
    State(app): State<App>,
    call: Call,
    key: IdempotencyKey,
    params: Params,
    body: JsonBody<NewTask>,
) -> Result<Response, Problem> {
    params.finish()?;
    let mut task = v1::NewTask::from(body.value);
    if let Some(key) = key.beside(&task.idempotency_key)? {
        task.idempotency_key = key;
    }
    // With an id, the call can be repeated at another pod without a second task. Only its repetition can find it known.
    let ours = task.id.is_empty();
    if ours {
        task.id = new_task_id().to_string();
    }
    let id = task.id.clone();
    let request = v1::CreateTaskRequest { task: Some(task) };
    let answer = app.ask(&call, request, |pod, message| async { pod.tasks().create_task(message).await }).await?;
    let task = Task::try_from(present(answer.task)?)?;
    let created = answer.created || (ours && task.id == id);
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let location = HeaderValue::try_from(format!("/v1/tasks/{}", task.id)).map_err(Error::internal)?;
    Ok((status, [(ETAG, etag(task.version)), (LOCATION, location)], axum::Json(task)).into_response())
}
