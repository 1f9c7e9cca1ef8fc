//! Typed calls of the services.

mod accounts;
mod administration;
mod queues;
mod schedules;
mod sweep;
mod tasks;
mod watch;

use std::{fmt::Display, time::Duration};

use prost::Message;
use taskyard_core::{Error, ErrorCode, Result, limits};
use tokio::time::Instant;
use tonic::{Response, Status};

pub use self::{
    sweep::{CancelTasks, CompleteTasks, RetryTasks, Sweep, SweepCommand},
    watch::{Watch, WatchMessage},
};
use crate::{PodChannel, Pods};

// A kilobyte is room for what a task has around it in a request.
const REQUEST_BYTES_MAX: usize = limits::REQUEST_BYTES_MAX - 1_024;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Hands in tasks, shows, changes and watches them, and steers queues and schedules. Cheap to clone.
///
/// Every call is repeated, at another pod if there is one, while it fails with `UNAVAILABLE`, until its timeout; the
/// API allows that for every command. What is not here goes through [`Client::call`] and the generated clients.
#[derive(Clone, Debug)]
pub struct Client {
    pods: Pods,
    timeout: Duration,
}

impl Client {
    /// A client of these pods whose calls take at most 30 s.
    #[must_use]
    pub const fn new(pods: Pods) -> Self {
        Self { pods, timeout: TIMEOUT_DEFAULT }
    }

    /// The same client with another longest time of a call, its repetitions included.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The pods that it talks to.
    #[must_use]
    pub const fn pods(&self) -> &Pods {
        &self.pods
    }

    /// Makes any call with the client's timeout, as [`Pods::call`] does.
    ///
    /// # Errors
    /// As [`Pods::call`].
    pub async fn call<T, F, A>(&self, attempt: A) -> Result<T>
    where
        A: FnMut(PodChannel) -> F,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.pods.call(Instant::now() + self.timeout, attempt).await
    }

    async fn send<R, T, F>(&self, request: R, attempt: impl Fn(PodChannel, R) -> F) -> Result<T>
    where
        R: Message + Clone,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        check_size("the request", request.encoded_len())?;
        self.call(|pod| attempt(pod, request.clone())).await
    }
}

/// A request above the limit would only be seen as a stream that breaks, and be repeated.
fn check_size(what: impl Display, bytes: usize) -> Result<()> {
    if bytes > REQUEST_BYTES_MAX {
        let message = format!("{what} has {bytes} bytes; at most {REQUEST_BYTES_MAX} are allowed");
        return Err(Error::new(ErrorCode::TooLarge, message));
    }
    Ok(())
}
