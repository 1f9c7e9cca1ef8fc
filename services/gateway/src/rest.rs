//! REST: each handler reads a request, makes one call to the tasks service and shows its answer.

mod ask;
mod batch;
mod create;
mod events;
mod patch;
mod queues;
mod retry;
mod search;
mod tasks;

use axum::{
    Router,
    routing::{get, post, put},
};

use crate::app::App;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/tasks", get(tasks::list).post(create::create))
        .route("/v1/tasks/batch", post(batch::create_batch))
        .route("/v1/tasks/retry", post(retry::retry_by_filter))
        .route("/v1/tasks/search", get(search::search))
        .route("/v1/tasks/{id}", get(tasks::get).patch(patch::update).delete(tasks::delete))
        .route("/v1/tasks/{id}/complete", post(tasks::complete))
        .route("/v1/tasks/{id}/cancel", post(tasks::cancel))
        .route("/v1/tasks/{id}/retry", post(tasks::retry))
        .route("/v1/tasks/{id}/events", get(events::of_task))
        .route("/v1/events", get(events::all))
        .route("/v1/queues", get(queues::list))
        .route("/v1/queues/{name}", get(queues::get))
        .route("/v1/queues/{name}/pause", post(queues::pause))
        .route("/v1/queues/{name}/resume", post(queues::resume))
        .route("/v1/queues/{name}/limits", put(queues::set_limits))
}
