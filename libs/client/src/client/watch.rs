//! A stream of events that survives the loss of its pod.

use std::time::Duration;

use futures::{Stream, stream};
use taskyard_core::{ErrorCode, Result};
use taskyard_proto::{
    status::from_status,
    v1::{self, watch_tasks_response::Message},
};
use tokio::time::Instant;
use tonic::{Status, Streaming};

use crate::{PodChannel, Pods, backoff::Backoff, pods::Tried};

const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// One message of a watch.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchMessage {
    /// The watch is open; what follows is later than this position. Told once, not at every reconnect.
    Opened {
        /// Where it began.
        position: String,
    },
    /// A task has changed.
    Event(Box<v1::Event>),
    /// A running task has told how far it is.
    Progress(v1::TaskProgress),
    /// There is a gap: the position is too old, or of a database that was restored. Read the state anew; what follows
    /// is later than this position.
    Reset {
        /// Where it goes on.
        position: String,
    },
}

/// A stream of events without gap or double. It reconnects by itself.
#[derive(Debug)]
pub struct Watch {
    pods: Pods,
    request: v1::WatchTasksRequest,
    open: Option<Open>,
    backoff: Backoff,
    opened_told: bool,
    tried: Tried,
}

#[derive(Debug)]
struct Open {
    channel: PodChannel,
    began: Instant,
    messages: Streaming<v1::WatchTasksResponse>,
}

impl Watch {
    pub(super) fn new(pods: Pods, request: v1::WatchTasksRequest) -> Self {
        Self { pods, request, open: None, backoff: Backoff::default(), opened_told: false, tried: Tried::default() }
    }

    /// The position of the last event: a later watch that begins there goes on without gap or double. Empty before the
    /// watch was opened, if it was to begin with the present.
    #[must_use]
    pub fn position(&self) -> &str {
        &self.request.position
    }

    /// The next message. It waits for as long as that takes, pods that cannot be reached included; to give up, drop
    /// the future: nothing is lost by that.
    ///
    /// # Errors
    /// What another attempt would not change: no right to watch, a position that cannot be read.
    pub async fn next(&mut self) -> Result<WatchMessage> {
        loop {
            let ended = match &mut self.open {
                Some(open) => match open.messages.message().await {
                    Ok(Some(message)) => match self.take(message) {
                        Some(message) => return Ok(message),
                        None => continue,
                    },
                    // The pod stops, or the stream has reached its greatest age.
                    Ok(None) => None,
                    Err(status) => Some(status),
                },
                None => match self.open().await {
                    Ok(()) => continue,
                    Err(status) => Some(status),
                },
            };
            self.close(ended.as_ref())?;
            tokio::time::sleep(self.backoff.next_delay()).await;
        }
    }

    /// The messages as a stream, which ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<WatchMessage>> + Send {
        stream::unfold(Some(self), |watch| async move {
            let mut watch = watch?;
            let message = watch.next().await;
            let going_on = message.is_ok().then_some(watch);
            Some((message, going_on))
        })
    }

    async fn open(&mut self) -> Result<(), Status> {
        let deadline = Instant::now() + OPEN_TIMEOUT;
        let channel = self
            .pods
            .pick_for_stream(self.tried.addresses(), deadline)
            .await
            .map_err(|error| Status::unavailable(error.message))?;
        let began = Instant::now();
        let mut client = channel.clone().tasks();
        let opening = client.watch_tasks(self.request.clone());
        let opened = tokio::time::timeout_at(deadline, opening)
            .await
            .unwrap_or_else(|_| Err(Status::unavailable("the pod did not open the watch in time")));
        let refused = |status: &Status| {
            channel.avoid(began, status.message());
            self.tried.add(channel.address());
        };
        let messages = opened.inspect_err(refused)?.into_inner();
        self.open = Some(Open { channel, began, messages });
        Ok(())
    }

    /// Takes a message in; none if it is not for the caller.
    fn take(&mut self, message: v1::WatchTasksResponse) -> Option<WatchMessage> {
        // One that a newer server sends and this version does not know is skipped.
        match message.message? {
            Message::Opened(opened) => {
                // After a reconnect our own position stays: it names the last event that the caller has.
                if self.request.position.is_empty() {
                    self.request.position.clone_from(&opened.position);
                }
                let first = !std::mem::replace(&mut self.opened_told, true);
                first.then_some(WatchMessage::Opened { position: opened.position })
            }
            Message::Event(event) => {
                if event.position == self.request.position {
                    return None;
                }
                self.backoff.reset();
                self.tried.clear();
                self.request.position.clone_from(&event.position);
                Some(WatchMessage::Event(Box::new(event)))
            }
            Message::Progress(progress) => Some(WatchMessage::Progress(progress)),
            Message::Reset(reset) => {
                self.open = None;
                self.request.position.clone_from(&reset.position);
                Some(WatchMessage::Reset { position: reset.position })
            }
        }
    }

    /// Leaves the stream; an error only if there is no point in another.
    fn close(&mut self, status: Option<&Status>) -> Result<()> {
        let open = self.open.take();
        if let Some(open) = &open {
            self.tried.add(open.channel.address());
        }
        let Some(status) = status else { return Ok(()) };
        let error = from_status(status);
        match error.code {
            // A pod that serves as many watches as it can sends us elsewhere.
            ErrorCode::Unavailable | ErrorCode::Exhausted => {
                tracing::debug!(error = error.message, "A watch is opened again");
                if let Some(open) = open {
                    open.channel.avoid(open.began, status.message());
                }
                Ok(())
            }
            _ => Err(error),
        }
    }
}
