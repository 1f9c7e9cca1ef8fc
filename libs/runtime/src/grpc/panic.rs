//! A panic in a handler is that call's end, not the connection's or the process'.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use taskyard_core::Error;
use taskyard_proto::status::to_status;
use tonic::Status;
use tower::{Layer, Service};

/// Answers INTERNAL where a handler, or the stream that it answered, panics.
#[derive(Clone, Copy, Debug, Default)]
pub struct CatchPanicLayer;

impl<S> Layer<S> for CatchPanicLayer {
    type Service = CatchPanicService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CatchPanicService { inner }
    }
}

/// A service behind a [`CatchPanicLayer`].
#[derive(Clone, Debug)]
pub struct CatchPanicService<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for CatchPanicService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Default,
{
    type Response = Response<CatchPanicBody<R>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let called = catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        Box::pin(async move {
            let answered = match called {
                Ok(answer) => AssertUnwindSafe(answer).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            match answered {
                Ok(answer) => Ok(answer?.map(|inner| CatchPanicBody { inner: Some(inner), path })),
                Err(panic) => Ok(internal(&path, panic.as_ref()).into_http()),
            }
        })
    }
}

/// A body whose panic becomes its last trailers.
#[derive(Debug, Default)]
pub struct CatchPanicBody<B> {
    // `None` once it has panicked: it is not polled again.
    inner: Option<B>,
    path: String,
}

impl<B: Body + Unpin> Body for CatchPanicBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(context))) {
            Ok(frame) => frame,
            Err(panic) => {
                self.inner = None;
                let mut trailers = HeaderMap::new();
                // Our own status is always a valid header.
                let _ = internal(&self.path, panic.as_ref()).add_header(&mut trailers);
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

fn internal(path: &str, panic: &(dyn Any + Send)) -> Status {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("(not a text)");
    tracing::error!(method = path, panic = text, "a handler panicked; RUST_BACKTRACE=1 shows where");
    // Without a source: it has been logged here.
    to_status(Error { source: None, ..Error::internal(text) })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use tonic::Code;
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[derive(Default)]
    struct Bomb;

    impl Body for Bomb {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            panic!("in the stream")
        }
    }

    #[tokio::test]
    async fn a_panic_in_a_handler_is_internal() {
        let inner = service_fn(async |request: Request<()>| {
            assert!(request.uri().path() == "/good", "in the handler");
            Ok::<_, Infallible>(Response::new(Bomb))
        });
        let service = CatchPanicLayer.layer(inner);
        let response = service.clone().oneshot(Request::get("/bad").body(()).unwrap()).await.unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("in the handler"), "a client does not see it");

        let response = service.oneshot(Request::get("/good").body(()).unwrap()).await.unwrap();
        let mut body = std::pin::pin!(response.into_body());
        let frame = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await.unwrap().unwrap();
        let trailers = frame.into_trailers().unwrap();
        assert_eq!(Status::from_header_map(&trailers).unwrap().code(), Code::Internal);
        assert!(std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await.is_none());
    }
}
