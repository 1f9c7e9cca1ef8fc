//! What every request passes before anything reads it, and its answer on the way back: it gets its id, is observed, is
//! shared with pages of other origins if it may be, its panics are caught, its size, host and origin are checked. Then
//! its token is checked, and it is counted.
//!
//! One layer, and not one for each step: a layer boxes and moves the whole request, and seven of them cost half of what a
//! kept answer takes.

mod address;
mod guard;
mod name;
mod observe;
mod origin;
mod panic;
mod refuse;
mod share;
mod size;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

pub(crate) use self::{
    address::client_address,
    guard::{guard, guard_open, identify},
    name::RequestId,
    observe::Requests,
    refuse::is_grpc,
    size::HEADER_BYTES_MAX,
};
use crate::{app::App, grpc};

pub(crate) async fn pass(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = RequestId::give(&mut request);
    let grpc = is_grpc(request.headers());
    let seen = observe::Seen::new(&request, grpc);
    let origin = share::shared_with(&app, request.headers()).cloned();
    let mut response = panic::catch(grpc, seen.path(), answer(&app, request, grpc, next)).await;
    share::share(&app, origin, response.headers_mut());
    seen.tell(app.requests(), &id, response.status());
    name::name(&app, id, grpc, response.headers_mut());
    response
}

async fn answer(app: &App, request: Request, grpc: bool, next: Next) -> Response {
    if let Err(refusal) = size::check(&request, grpc).and_then(|()| origin::check(app, &request, grpc)) {
        return *refusal;
    }
    if grpc { Box::pin(grpc::serve(app, request)).await } else { next.run(request).await }
}
