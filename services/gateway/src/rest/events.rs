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
pub(super) async fn all(state: State<App>, call: Call, params: Params) -> Result<Json<Events>, Problem> {
    page(state, call, String::new(), params).await
}

/// `GET /v1/tasks/{id}/events`
pub(super) async fn of_task(
    state: State<App>,
    call: Call,
    TaskId(id): TaskId,
    params: Params,
) -> Result<Json<Events>, Problem> {
    page(state, call, id, params).await
}

async fn page(
    State(app): State<App>,
    call: Call,
    task_id: String,
    mut params: Params,
) -> Result<Json<Events>, Problem> {
    let position = params.text("position");
    let request = v1::ListEventsRequest { position, task_id, page_size: params.number("page_size")? };
    params.finish()?;
    let page = app.ask(&call, request, |pod, message| async { pod.tasks().list_events(message).await }).await?;
    Ok(Json(page.try_into()?))
}
