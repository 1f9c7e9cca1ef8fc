//! REST: each handler reads a request, makes one call to the tasks service and shows its answer.

mod ask;
mod auth;
mod batch;
mod create;
mod events;
mod keys;
mod namespaces;
mod patch;
mod queues;
mod retry;
mod schedules;
mod search;
mod tasks;

use axum::{
    Router,
    routing::{delete, get, post, put},
};

use crate::app::App;

/// What everybody may ask.
pub(crate) fn open_routes() -> Router<App> {
    Router::new()
        .route("/v1/auth/register", post(auth::register))
        .route("/v1/auth/sign-in", post(auth::sign_in))
        .route("/v1/auth/refresh", post(auth::refresh))
        .route("/.well-known/jwks.json", get(auth::key_set))
}

/// What is only for those who are known.
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
        .route("/v1/auth/sign-out", post(auth::sign_out))
        .route("/v1/auth/sign-ins", get(auth::sign_ins).delete(auth::end_all_sign_ins))
        .route("/v1/auth/sign-ins/{id}", delete(auth::end_sign_in))
        .route("/v1/me", get(auth::me).patch(auth::update_me))
        .route("/v1/me/password", put(auth::change_password))
        .route("/v1/namespaces", get(namespaces::list).post(namespaces::create))
        .route("/v1/namespaces/{name}", get(namespaces::get).delete(namespaces::delete))
        .route("/v1/namespaces/{name}/transfer", post(namespaces::transfer))
        .route("/v1/namespaces/{name}/members", get(namespaces::members))
        .route("/v1/namespaces/{name}/members/{user_id}", put(namespaces::set_role).delete(namespaces::remove_member))
        .route("/v1/namespaces/{name}/invitations", get(namespaces::invitations).post(namespaces::invite))
        .route("/v1/namespaces/{name}/invitations/{id}", delete(namespaces::delete_invitation))
        .route("/v1/invitations/accept", post(namespaces::accept))
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{id}", delete(keys::revoke))
        .route("/v1/schedules", get(schedules::list).post(schedules::create))
        .route("/v1/schedules/{name}", get(schedules::get).put(schedules::update).delete(schedules::delete))
        .route("/v1/schedules/{name}/pause", post(schedules::pause))
        .route("/v1/schedules/{name}/resume", post(schedules::resume))
        .route("/v1/schedules/{name}/run", post(schedules::run))
        .route("/v1/schedules/{name}/next", get(schedules::next))
        .route("/v1/schedule-preview", post(schedules::preview))
}
