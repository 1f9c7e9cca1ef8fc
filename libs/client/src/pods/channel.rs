//! What generated clients send through: one connection to one pod, that adds the token and the deadline, and tells the
//! pod's health what became of each request.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use taskyard_core::limits::REQUEST_BYTES_MAX;
use taskyard_proto::v1::{
    admin_service_client::AdminServiceClient, key_service_client::KeyServiceClient,
    namespace_service_client::NamespaceServiceClient, queue_service_client::QueueServiceClient,
    schedule_service_client::ScheduleServiceClient, task_service_client::TaskServiceClient,
    user_service_client::UserServiceClient, work_service_client::WorkServiceClient,
};
use tokio::time::Instant;
use tonic::{Code, Status, body::Body, transport::Channel};
use tower::Service;

use super::pod::Pod;
use crate::{Token, error};

const GRPC_TIMEOUT: &str = "grpc-timeout";
const GRPC_STATUS: &str = "grpc-status";

/// A connection to one pod. Cheap to clone; generated clients take it as their channel.
#[derive(Clone)]
pub struct PodChannel {
    pub(super) pod: Arc<Pod>,
    pub(super) channel: Channel,
    pub(super) number: u64,
    pub(super) token: Token,
    pub(super) deadline: Option<Instant>,
}

impl PodChannel {
    /// The pod's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.pod.address
    }

    /// The same connection, with a deadline that requests carry as `grpc-timeout`.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// A client of the task service, with our limits of size.
    #[must_use]
    pub fn tasks(self) -> TaskServiceClient<Self> {
        TaskServiceClient::new(self)
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(REQUEST_BYTES_MAX)
    }

    /// A client of the queue service, with our limits of size.
    #[must_use]
    pub fn queues(self) -> QueueServiceClient<Self> {
        QueueServiceClient::new(self)
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(REQUEST_BYTES_MAX)
    }

    /// A client of the user service.
    #[must_use]
    pub fn users(self) -> UserServiceClient<Self> {
        UserServiceClient::new(self)
    }

    /// A client of the namespace service.
    #[must_use]
    pub fn namespaces(self) -> NamespaceServiceClient<Self> {
        NamespaceServiceClient::new(self)
    }

    /// A client of the admin service.
    #[must_use]
    pub fn admin(self) -> AdminServiceClient<Self> {
        AdminServiceClient::new(self)
    }

    /// A client of the key service.
    #[must_use]
    pub fn keys(self) -> KeyServiceClient<Self> {
        KeyServiceClient::new(self)
    }

    /// A client of the schedule service, with our limits of size.
    #[must_use]
    pub fn schedules(self) -> ScheduleServiceClient<Self> {
        ScheduleServiceClient::new(self)
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(REQUEST_BYTES_MAX)
    }

    /// A client of the work service, with our limits of size.
    #[must_use]
    pub fn work(self) -> WorkServiceClient<Self> {
        WorkServiceClient::new(self)
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(REQUEST_BYTES_MAX)
    }

    /// Tells that the pod did badly where the channel itself cannot see it, in the middle of a stream, so that others
    /// are preferred for a while. `began` is when the stream was opened.
    pub fn avoid(&self, began: Instant, why: &str) {
        self.pod.unavailable(began, why);
    }
}

impl fmt::Debug for PodChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodChannel").field("address", &self.pod.address).finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for PodChannel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let began = Instant::now();
        self.channel.poll_ready(context).map_err(|error| {
            let status = error::transport_status(error);
            self.pod.disconnected(self.number, began, status.message());
            status
        })
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let began = Instant::now();
        let headers = request.headers_mut();
        if let Some(token) = self.token.header()
            && !headers.contains_key(AUTHORIZATION)
        {
            headers.insert(AUTHORIZATION, token);
        }
        if let Some(deadline) = self.deadline
            && !headers.contains_key(GRPC_TIMEOUT)
        {
            headers.insert(GRPC_TIMEOUT, timeout_value(deadline.saturating_duration_since(began)));
        }
        let answer = self.channel.call(request);
        let (pod, number) = (Arc::clone(&self.pod), self.number);
        let in_flight = pod.begin_request();
        Box::pin(async move {
            let answer = answer.await;
            drop(in_flight);
            match answer {
                Ok(response) => {
                    let code = response.headers().get(GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()));
                    if code == Some(Code::Unavailable) {
                        pod.unavailable(began, "it answered UNAVAILABLE");
                    } else {
                        pod.answered();
                    }
                    Ok(response)
                }
                Err(error) => {
                    let status = error::transport_status(error);
                    if status.code() == Code::Unavailable {
                        pod.disconnected(number, began, status.message());
                    }
                    Err(status)
                }
            }
        })
    }
}

/// A duration as gRPC writes it: at most eight digits and a unit.
fn timeout_value(timeout: Duration) -> HeaderValue {
    let (number, unit) = match timeout {
        timeout if timeout.as_micros() < 100_000_000 => (timeout.as_micros(), 'u'),
        timeout if timeout.as_millis() < 100_000_000 => (timeout.as_millis(), 'm'),
        timeout => (u128::from(timeout.as_secs().min(99_999_999)), 'S'),
    };
    HeaderValue::try_from(format!("{number}{unit}")).unwrap_or_else(|_| HeaderValue::from_static("0u"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_at_most_eight_digits() {
        let text = |timeout| timeout_value(timeout).to_str().expect("ASCII").to_owned();
        assert_eq!(text(Duration::ZERO), "0u");
        assert_eq!(text(Duration::from_millis(1500)), "1500000u");
        assert_eq!(text(Duration::from_secs(100)), "100000m");
        assert_eq!(text(Duration::from_secs(100_000)), "100000S");
        assert_eq!(text(Duration::MAX), "99999999S");
    }
}
