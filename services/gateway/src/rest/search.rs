//! Full-text search.

use axum::{Json, extract::State};
use taskyard_core::Result;
use taskyard_proto::v1;
use taskyard_runtime::http_error::Problem;

use crate::{
    app::App,
    read::{Call, Params},
    shape::{Filter, Hits},
};

/// `GET /v1/tasks/search`
pub(super) async fn search(State(app): State<App>, call: Call, mut params: Params) -> Result<Json<Hits>, Problem> {
    let request = v1::SearchTasksRequest {
        query: params.text("q"),
        filter: Some(Filter::from_params(&mut params)?),
        page_size: params.number("page_size")?,
        page_token: params.text("page_token"),
    };
    params.finish()?;
    let page = app.ask(&call, request, |pod, message| async { pod.tasks().search_tasks(message).await }).await?;
    Ok(Json(page.try_into()?))
}
