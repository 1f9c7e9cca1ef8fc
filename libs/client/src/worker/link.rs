//! One stream to one pod, from Hello on.

use std::{net::SocketAddr, time::Duration};

use taskyard_core::{Error, ErrorCode};
use taskyard_proto::{
    convert,
    status::from_status,
    v1::{self, work_request, work_response::Message},
};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{chunks::Chunks, outgoing::Outgoing};
use crate::{PodChannel, Pods};

// Messages that wait for the network: enough to keep it busy, few enough that a Pong does not wait long.
const QUEUED_MAX: usize = 4;
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
const SILENCE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);
const SILENCE_TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// A stream whose Hello was answered with Welcome.
#[derive(Debug)]
pub(super) struct Link {
    pub channel: PodChannel,
    pub requests: mpsc::Sender<v1::WorkRequest>,
    pub responses: Streaming<v1::WorkResponse>,
    pub outgoing: Outgoing,
    pub chunks: Chunks,
    pub opened_at: Instant,
    pub heard_at: Instant,
    pub silence_timeout: Duration,
    pub silence_check_at: Instant,
    /// The pod has sent Drain.
    pub draining: bool,
    /// Goodbye was said; Farewell has to come by then.
    pub farewell_by: Option<Instant>,
    /// The slots that Hello named.
    pub slots: u32,
}

/// Why a stream could not be opened.
#[derive(Debug)]
pub(super) enum OpenError {
    /// The pods refuse this worker; another attempt would not change that.
    Refused(Error),
    /// Another attempt may succeed. The pod is named if one was reached.
    Failed(Option<SocketAddr>, Error),
}

/// Opens a stream, to another pod than those at `except` if there is one, and says hello.
pub(super) async fn open(pods: Pods, hello: v1::Hello, except: Vec<SocketAddr>, bytes: u64) -> Result<Link, OpenError> {
    let began = Instant::now();
    let deadline = began + HELLO_TIMEOUT;
    let channel = pods.pick_for_stream(&except, deadline).await.map_err(|error| OpenError::Failed(None, error))?;
    let slots = hello.slots;
    let greeting = greet(channel.clone(), hello);
    let greeted = tokio::time::timeout_at(deadline, greeting)
        .await
        .unwrap_or_else(|_| Err(Status::unavailable("the pod did not answer Hello in time")));
    match greeted {
        Ok((requests, responses, welcome)) => {
            let silence_timeout = silence_timeout(&welcome);
            let now = Instant::now();
            tracing::info!(pod = %channel.address(), connection = welcome.connection, "Serving");
            Ok(Link {
                channel,
                requests,
                responses,
                outgoing: Outgoing::default(),
                chunks: Chunks::new(bytes),
                opened_at: now,
                heard_at: now,
                silence_timeout,
                silence_check_at: now + silence_timeout,
                draining: false,
                farewell_by: None,
                slots,
            })
        }
        Err(status) => {
            channel.avoid(began, status.message());
            let error = from_status(&status);
            Err(match error.code {
                ErrorCode::Unauthenticated | ErrorCode::Forbidden | ErrorCode::InvalidInput => {
                    OpenError::Refused(error)
                }
                _ => OpenError::Failed(Some(channel.address()), error),
            })
        }
    }
}

type Greeted = (mpsc::Sender<v1::WorkRequest>, Streaming<v1::WorkResponse>, v1::Welcome);

async fn greet(channel: PodChannel, hello: v1::Hello) -> Result<Greeted, Status> {
    let (requests, outgoing) = mpsc::channel(QUEUED_MAX);
    let hello = v1::WorkRequest { message: Some(work_request::Message::Hello(hello)) };
    requests.try_send(hello).map_err(|error| Status::internal(error.to_string()))?;
    let mut responses = channel.work().work(ReceiverStream::new(outgoing)).await?.into_inner();
    loop {
        match responses.message().await? {
            Some(v1::WorkResponse { message: Some(Message::Welcome(welcome)) }) => {
                return Ok((requests, responses, welcome));
            }
            // A life sign, or something that a newer pod says.
            Some(v1::WorkResponse { message: None | Some(Message::Ping(_)) }) => {}
            Some(v1::WorkResponse { message: Some(Message::Drain(_)) }) => {
                return Err(Status::unavailable("the pod is about to stop"));
            }
            Some(_) => return Err(Status::unavailable("the pod sent something else before Welcome")),
            None => return Err(Status::unavailable("the pod closed the stream before Welcome")),
        }
    }
}

fn silence_timeout(welcome: &v1::Welcome) -> Duration {
    let given = welcome.silence_timeout.and_then(|timeout| convert::duration("silence_timeout", timeout).ok());
    given.filter(|timeout| !timeout.is_zero()).unwrap_or(SILENCE_TIMEOUT_DEFAULT).max(SILENCE_TIMEOUT_MIN)
}
