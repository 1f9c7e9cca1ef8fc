//! What happened to tasks.

use axum::{Json, extract::State};
use taskyard_core::Result;
use taskyard_proto::v1;
use taskyard_runtime::http_error::Problem;

use crate::{
    app::App,
    read::{Call, Params, TaskId},
    shape::Events,
};

/// `GET /v1/events`
pub(super) async fn all(State(app): State<App>, call: Call, mut params: Params) -> Result<Json<Events>, Problem> {
    let position = params.text("position");
    let task_id = String::new();
    let request = v1::ListEventsRequest { position, task_id, page_size: params.number("page_size")? };
    params.finish()?;
    let page = app.ask(&call, request, |pod, message| async { pod.tasks().list_events(message).await }).await?;
    Ok(Json(page.try_into()?))
}

/// `GET /v1/tasks/{id}/events`
pub(super) async fn of_task(
    State(app): State<App>,
    call: Call,
    TaskId(id): TaskId,
    mut params: Params,
) -> Result<Json<Events>, Problem> {
    let position = params.text("position");
    let is_first = position.is_empty();
    let request = v1::ListEventsRequest { position, task_id: id.clone(), page_size: params.number("page_size")? };
    params.finish()?;
    let page = app.ask(&call, request, |pod, message| async { pod.tasks().list_events(message).await }).await?;
    if is_first && page.events.is_empty() {
        // Every task has one from its first moment on: so there is none, or none that the caller may see.
        let request = v1::GetTaskRequest { id };
        app.ask(&call, request, |pod, message| async { pod.tasks().get_task(message).await }).await?;
    }
    Ok(Json(page.try_into()?))
}
