//! Every call is counted, timed and logged, with the code that it ended with.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
};
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::metrics::Metrics;

/// Observes the calls of a server.
#[derive(Clone, Debug)]
pub struct ObserveLayer {
    calls: Calls,
}

impl ObserveLayer {
    /// Counts into `grpc_server_calls` and times into `grpc_server_call_seconds`.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let ended = Family::<Labels, Counter>::default();
        let seconds = Family::<MethodLabels, Histogram, fn() -> Histogram>::new_with_constructor(buckets);
        metrics.register(|registry| {
            registry.register("grpc_server_calls", "Calls that ended, by method and code", ended.clone());
            registry.register("grpc_server_call_seconds", "How long calls took, by method", seconds.clone());
        });
        Self { calls: Calls { ended, seconds } }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = ObserveService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ObserveService { calls: self.calls.clone(), inner }
    }
}

/// A service behind an [`ObserveLayer`].
#[derive(Clone, Debug)]
pub struct ObserveService<S> {
    calls: Calls,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for ObserveService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<ObserveBody<R>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut call = Call {
            calls: self.calls.clone(),
            method: request.uri().path().to_owned(),
            begun: Instant::now(),
            code: None,
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            // A call that fails before its first message says so in the headers.
            call.note(response.headers());
            if let Some(status) = response.extensions().get::<Status>()
                && let Some(source) = std::error::Error::source(status)
            {
                tracing::error!(method = call.method, source = chain(source), "{}", status.message());
            }
            Ok(response.map(|inner| ObserveBody { inner, call: Some(call) }))
        })
    }
}

/// A body whose end, or drop, is the end of its call.
#[derive(Debug, Default)]
pub struct ObserveBody<B> {
    inner: B,
    // `None` in the empty body that a layer outside of this one made.
    call: Option<Call>,
}

impl<B: Body + Unpin> Body for ObserveBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
            && let Some(call) = &mut self.call
        {
            call.note(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    method: String,
    code: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct MethodLabels {
    method: String,
}

#[derive(Clone, Debug)]
struct Calls {
    ended: Family<Labels, Counter>,
    seconds: Family<MethodLabels, Histogram, fn() -> Histogram>,
}

/// 1 ms to 65 s.
fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

#[derive(Debug)]
struct Call {
    calls: Calls,
    method: String,
    begun: Instant,
    code: Option<Code>,
}

impl Call {
    fn note(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get(Status::GRPC_STATUS) {
            self.code = Some(Code::from_bytes(status.as_bytes()));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Without a status the client went away first.
        let code = self.code.unwrap_or(Code::Cancelled);
        let elapsed = self.begun.elapsed();
        // A path that does not exist is no label: clients can make up any number of them.
        let method = if code == Code::Unimplemented { "unknown" } else { &self.method };
        self.calls.ended.get_or_create(&Labels { method: method.to_owned(), code: format!("{code:?}") }).inc();
        self.calls.seconds.get_or_create(&MethodLabels { method: method.to_owned() }).observe(elapsed.as_secs_f64());
        let millis = elapsed.as_secs_f64() * 1_000.0;
        match code {
            Code::Internal | Code::Unknown | Code::DataLoss => {
                tracing::warn!(method = self.method, ?code, duration_ms = millis, "a call failed");
            }
            _ => tracing::debug!(method = self.method, ?code, duration_ms = millis, "a call ended"),
        }
    }
}

fn chain(source: &(dyn std::error::Error + 'static)) -> String {
    let chain: Vec<_> = std::iter::successors(Some(source), |error| error.source()).map(ToString::to_string).collect();
    chain.join(": ")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn calls_are_counted_by_method_and_code() {
        let metrics = Metrics::new();
        let inner = service_fn(async |request: Request<()>| {
            let status = match request.uri().path() {
                "/made/up" => Status::unimplemented("no"),
                _ => Status::not_found("no"),
            };
            Ok::<_, Infallible>(status.into_http::<tonic::body::Body>())
        });
        let service = ObserveLayer::new(&metrics).layer(inner);
        for path in ["/a/Get", "/made/up"] {
            service.clone().oneshot(Request::get(path).body(()).unwrap()).await.unwrap();
        }
        let text = metrics.render().unwrap();
        assert!(text.contains(r#"taskyard_grpc_server_calls_total{method="/a/Get",code="NotFound"} 1"#), "{text}");
        assert!(text.contains(r#"method="unknown",code="Unimplemented""#), "{text}");
        assert!(!text.contains("made/up"), "{text}");
    }
}
