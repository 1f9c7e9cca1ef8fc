//! Commands for all tasks that match, as streams of how far they have come.

use std::time::Duration;

use taskyard_core::{ErrorCode, Result};
use taskyard_proto::{status::from_status, v1};
use tokio::time::Instant;
use tonic::{Response, Status, Streaming};

use crate::{PodChannel, Pods, backoff::Backoff, pods::Tried};

const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Retries all dead tasks that match.
pub type RetryTasks = Sweep<v1::RetryTasksRequest>;
/// Cancels all waiting and running tasks that match.
pub type CancelTasks = Sweep<v1::CancelTasksRequest>;
/// Completes all manual tasks that match.
pub type CompleteTasks = Sweep<v1::CompleteTasksRequest>;

/// A command for all tasks that match. The work goes on only while [`Sweep::next`] is called.
#[derive(Debug)]
pub struct Sweep<C: SweepCommand> {
    pods: Pods,
    request: C,
    messages: Option<Streaming<C::Report>>,
    backoff: Backoff,
    tried: Tried,
    // Changed by calls that ended early, and by the present one.
    before: u64,
    present: u64,
    done: bool,
}

impl<C: SweepCommand> Sweep<C> {
    pub(super) fn new(pods: Pods, request: C) -> Self {
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
    pub async fn next(&mut self) -> Result<Option<C::Report>> {
        while !self.done {
            let ended = match &mut self.messages {
                Some(messages) => match messages.message().await {
                    Ok(Some(mut report)) => {
                        self.backoff.reset();
                        self.tried.clear();
                        let (changed, done) = C::progress(&mut report);
                        self.present = *changed;
                        self.done = done;
                        *changed += self.before;
                        return Ok(Some(report));
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
        let opening = self.request.clone().open(channel.clone());
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

/// The request of a [`Sweep`].
pub trait SweepCommand: Clone + Send + 'static {
    /// What the server tells.
    type Report: Send;

    /// Begins it at a pod.
    fn open(self, pod: PodChannel) -> impl Future<Output = Result<Response<Streaming<Self::Report>>, Status>> + Send;

    /// How many tasks were changed so far, and whether that was all.
    fn progress(report: &mut Self::Report) -> (&mut u64, bool);
}

impl SweepCommand for v1::RetryTasksRequest {
    type Report = v1::RetryTasksResponse;

    async fn open(self, pod: PodChannel) -> Result<Response<Streaming<Self::Report>>, Status> {
        pod.tasks().retry_tasks(self).await
    }

    fn progress(report: &mut Self::Report) -> (&mut u64, bool) {
        (&mut report.retried, report.done)
    }
}

impl SweepCommand for v1::CancelTasksRequest {
    type Report = v1::CancelTasksResponse;

    async fn open(self, pod: PodChannel) -> Result<Response<Streaming<Self::Report>>, Status> {
        pod.tasks().cancel_tasks(self).await
    }

    fn progress(report: &mut Self::Report) -> (&mut u64, bool) {
        (&mut report.canceled, report.done)
    }
}

impl SweepCommand for v1::CompleteTasksRequest {
    type Report = v1::CompleteTasksResponse;

    async fn open(self, pod: PodChannel) -> Result<Response<Streaming<Self::Report>>, Status> {
        pod.tasks().complete_tasks(self).await
    }

    fn progress(report: &mut Self::Report) -> (&mut u64, bool) {
        (&mut report.completed, report.done)
    }
}
