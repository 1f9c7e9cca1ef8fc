//! Who has no token stays outside.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use taskyard_runtime::http_error::Problem;

use crate::app::App;

pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.config().token.admit(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => Problem::new(error).into_response(),
    }
}
