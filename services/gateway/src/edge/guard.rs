//! Who calls: verified here, so that nobody unknown gets further. What they may do is decided by the tasks service.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use taskyard_runtime::{
    http_error::Problem,
    identity::{Verified, bearer},
};

use crate::app::App;

pub(crate) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let identity = match bearer(request.headers()) {
        Ok(token) => app.identities().of(token).await,
        Err(error) => Err(error),
    };
    match identity {
        Ok(identity) => {
            request.extensions_mut().insert(Verified(identity));
            next.run(request).await
        }
        Err(error) => Problem::new(error).into_response(),
    }
}
