//! Who calls, and how often: verified and counted here, so that nobody unknown gets further. What they may do is decided
//! by the tasks service.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{Extensions, HeaderMap};
use taskyard_core::{ErrorCode, Identity, Result};
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
    let identity = match identify(&app, request.extensions(), request.headers()).await {
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

/// Whose token a request shows. One of nobody is counted by address; who shares that and shows a good one is let in
/// whatever the count.
pub(crate) async fn identify(app: &App, connection: &Extensions, headers: &HeaderMap) -> Result<Arc<Identity>> {
    let token = bearer(headers)?;
    if let Some(identity) = app.identities().known(token) {
        return Ok(identity);
    }
    let limiter = app.limiter();
    let Some(address) = client_address(connection, headers, &limiter.rates().trusted_proxies) else {
        return app.identities().of(token).await;
    };
    let turn = limiter.turn(address).await;
    let found = app.identities().of(token).await;
    drop(turn);
    if found.as_ref().is_err_and(|error| error.code == ErrorCode::Unauthenticated) {
        limiter.admit_wrong_token(address).await.map_err(|standing| standing.error())?;
    }
    found
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
