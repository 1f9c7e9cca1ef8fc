//! The token as a layer of a gRPC server.

use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use http::{Request, Response};
use taskyard_proto::status::to_status;
use tower::{Layer, Service};

use super::SharedToken;

/// Lets only calls with the token in. Health is open to all, because a kubelet shows none.
#[derive(Clone, Debug)]
pub struct GuardLayer {
    token: SharedToken,
}

impl GuardLayer {
    /// Guards with this token.
    #[must_use]
    pub const fn new(token: SharedToken) -> Self {
        Self { token }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = GuardService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GuardService { token: self.token.clone(), inner }
    }
}

/// A service behind a [`GuardLayer`].
#[derive(Clone, Debug)]
pub struct GuardService<S> {
    token: SharedToken,
    inner: S,
}

impl<S, B, R: Default> Service<Request<B>> for GuardService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Self::Response, Self::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let open = request.uri().path().starts_with("/grpc.health.v1.Health/");
        match self.token.admit(request.headers()) {
            Err(error) if !open => Either::Right(ready(Ok(to_status(error).into_http()))),
            _ => Either::Left(self.inner.call(request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tonic::{Code, Status, body::Body};
    use tower::{ServiceExt, service_fn};

    use super::*;

    async fn code(path: &str, authorization: Option<&str>) -> Option<Code> {
        let token = SharedToken::new("0123456789abcdef".into()).unwrap();
        let inner = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
        let mut request = Request::builder().uri(path);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let guarded = GuardLayer::new(token).layer(inner);
        let response = guarded.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        Status::from_header_map(response.headers()).map(|status| status.code())
    }

    #[tokio::test]
    async fn health_is_open_and_all_else_guarded() {
        let task = "/taskyard.v1.TaskService/GetTask";
        assert_eq!(code(task, None).await, Some(Code::Unauthenticated));
        assert_eq!(code(task, Some("Bearer 0123456789abcdef")).await, None);
        assert_eq!(code("/grpc.health.v1.Health/Check", None).await, None);
        assert_eq!(code("/grpc.reflection.v1.ServerReflection/X", None).await, Some(Code::Unauthenticated));
    }
}
