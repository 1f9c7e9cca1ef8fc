//! The retry of many dead tasks, as a stream of how far it has come.

use std::time::Duration;

use taskyard_core::{ErrorCode, Result};
use taskyard_proto::{status::from_status, v1};
use tokio::time::Instant;
use tonic::{Status, Streaming};

use crate::{Pods, backoff::Backoff, pods::Tried};

const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Retries all dead tasks that match. The work goes on only while [`RetryTasks::next`] is called.
#[derive(Debug)]
pub struct RetryTasks {
    pods: Pods,
    request: v1::RetryTasksRequest,
    messages: Option<Streaming<v1::RetryTasksResponse>>,
    backoff: Backoff,
    tried: Tried,
    // Retried by calls that ended early, and by the present one.
    before: u64,
    present: u64,
    done: bool,
}

impl RetryTasks {
    pub(super) fn new(pods: Pods, filter: v1::TaskFilter) -> Self {
        let request = v1::RetryTasksRequest { filter: Some(filter) };
        Self {
            pods,
            request,
            messages: None,
            backoff: Backoff::default(),
            tried: Tried::default(),
            before: 0,
            present: 0,
            done: false,
        }
    }

    /// How far it has come; none after the message with `done`. A call that ends early is made again, and the numbers
    /// go on.
    ///
    /// # Errors
    /// What another attempt would not change.
    pub async fn next(&mut self) -> Result<Option<v1::RetryTasksResponse>> {
        while !self.done {
            let ended = match &mut self.messages {
                Some(messages) => match messages.message().await {
                    Ok(Some(message)) => {
                        self.backoff.reset();
                        self.tried.clear();
                        self.present = message.retried;
                        self.done = message.done;
                        let retried = self.before + self.present;
                        return Ok(Some(v1::RetryTasksResponse { retried, done: message.done }));
                    }
                    Ok(None) => Status::unavailable("the call ended early"),
                    Err(status) => status,
                },
                None => match self.open().await {
                    Ok(()) => continue,
                    Err(status) => status,
                },
            };
            self.messages = None;
            self.before += std::mem::take(&mut self.present);
            let error = from_status(&ended);
            if error.code != ErrorCode::Unavailable {
                self.done = true;
                return Err(error);
            }
            tokio::time::sleep(self.backoff.next_delay()).await;
        }
        Ok(None)
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
        let opening = client.retry_tasks(self.request.clone());
        let opened = tokio::time::timeout_at(deadline, opening)
            .await
            .unwrap_or_else(|_| Err(Status::unavailable("the pod did not begin in time")));
        let refused = |status: &Status| {
            channel.avoid(began, status.message());
            self.tried.add(channel.address());
        };
        self.messages = Some(opened.inspect_err(refused)?.into_inner());
        Ok(())
    }
}
