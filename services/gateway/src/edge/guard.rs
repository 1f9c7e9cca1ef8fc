//! Who calls, and how often: verified and counted here, so that nobody unknown gets further. What they may do is decided
//! by the tasks service.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use taskyard_runtime::{
    http_error::Problem,
    identity::{Verified, bearer},
};

use super::client_address;
use crate::{
    app::App,
    limiter::{Class, Standing},
};

pub(crate) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let identity = match bearer(request.headers()) {
        Ok(token) => app.identities().of(token).await,
        Err(error) => Err(error),
    };
    let identity = match identity {
        Ok(identity) => identity,
        Err(error) => return Problem::new(error).into_response(),
    };
    let class = match request.method() {
        method if method.is_safe() => Class::Read,
        _ if request.uri().path() == "/v1/me/password" => Class::SignIn,
        _ => Class::Write,
    };
    let standing = app.limiter().admit(class, &identity.caller).await;
    request.extensions_mut().insert(Verified(identity));
    run_as(standing, request, next).await
}

/// Counts what strangers want to change, by their address.
pub(crate) async fn guard_open(State(app): State<App>, request: Request, next: Next) -> Response {
    let limiter = app.limiter();
    let trusted = &limiter.rates().trusted_proxies;
    let standing = match client_address(request.extensions(), request.headers(), trusted) {
        Some(address) if !request.method().is_safe() => limiter.admit_stranger(address).await,
        _ => Ok(None),
    };
    run_as(standing, request, next).await
}

async fn run_as(standing: Result<Option<Standing>, Standing>, request: Request, next: Next) -> Response {
    let (mut response, standing) = match standing {
        Ok(standing) => (next.run(request).await, standing),
        Err(standing) => (Problem::new(standing.error()).into_response(), Some(standing)),
    };
    if let Some(standing) = standing {
        standing.tell(response.headers_mut());
    }
    response
}
