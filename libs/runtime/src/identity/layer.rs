//! Identity as a layer of a gRPC server: every call is checked against the one table of rights.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{Request, Response};
use taskyard_core::{Error, ErrorCode, Identity, Result, identity::Access};
use taskyard_proto::{
    access::{access, stays_open},
    status::to_status,
};
use tokio::time::timeout;
use tonic::body::Body;
use tower::{Layer, Service};

use super::{Identities, bearer, standing::Standing};

/// A call that takes longer is looked after.
const SLOW: Duration = Duration::from_secs(1);

/// Lets in whoever may make a call, and ends streams whose caller may no more.
#[derive(Clone, Debug)]
pub struct AuthLayer {
    identities: Identities,
}

impl AuthLayer {
    /// Verifies callers by these.
    #[must_use]
    pub const fn new(identities: Identities) -> Self {
        Self { identities }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthService { identities: self.identities.clone(), inner }
    }
}

/// The caller of a request, in its extensions.
#[derive(Clone, Debug)]
pub struct Verified(pub Arc<Identity>);

/// The caller of a request.
///
/// # Errors
/// If there is none: the method is open to everybody.
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Arc<Identity>> {
    let verified = request.extensions().get::<Verified>();
    verified.map(|verified| verified.0.clone()).ok_or_else(|| Error::internal("a call without a caller came through"))
}

/// A service behind an [`AuthLayer`].
#[derive(Clone, Debug)]
pub struct AuthService<S> {
    identities: Identities,
    inner: S,
}

impl<S, B> Service<Request<B>> for AuthService<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The one that was polled ready.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let identities = self.identities.clone();
        // Not the request itself: its body need not be shared between threads.
        let path = request.uri().path().to_owned();
        let token = bearer(request.headers()).map(str::to_owned);
        Box::pin(async move {
            let (token, identity) = match admit(&identities, &path, token).await {
                Ok(Some(admitted)) => admitted,
                Ok(None) => return inner.call(request).await,
                Err(error) => return Ok(to_status(error).into_http()),
            };
            request.extensions_mut().insert(Verified(identity.clone()));
            let mut answer = std::pin::pin!(inner.call(request));
            // A message that comes slowly outlives its caller's right no longer than a stream does.
            let response = match timeout(SLOW, &mut answer).await {
                Ok(response) => response?,
                Err(_) => tokio::select! {
                    response = &mut answer => response?,
                    () = identities.lost(&token, identity.clone()) => {
                        let message = "the token or key is not valid any more";
                        return Ok(to_status(Error::new(ErrorCode::Unauthenticated, message)).into_http());
                    }
                },
            };
            if !stays_open(&path) {
                return Ok(response);
            }
            Ok(response.map(|body| Body::new(Standing::new(body, identities, token, identity))))
        })
    }
}

/// Who calls, and by which token, if the method asks for somebody.
async fn admit(identities: &Identities, path: &str, token: Result<String>) -> Result<Option<(String, Arc<Identity>)>> {
    let needed = access(path)
        .ok_or_else(|| Error::new(ErrorCode::RouteNotFound, format!("there is no method {}", path.escape_debug())))?;
    if needed == Access::Open {
        return Ok(None);
    }
    let token = token?;
    let identity = identities.of(&token).await?;
    needed.check(Some(&identity))?;
    identities.used(&identity);
    Ok(Some((token, identity)))
}
