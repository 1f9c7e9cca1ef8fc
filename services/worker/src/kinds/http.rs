//! `http`: makes a request, and keeps the answer.
//!
//! Payload: `{"method", "url", "headers", "body", "timeout_s"}`, of which only `url` is needed. 2xx completes with
//! `{"status", "headers", "body", "truncated"}`. 408, 425, 429, 5xx and a network that fails are tried again, no earlier
//! than `Retry-After` says; every other answer is a failure for good.
//!
//! A run can be repeated after its request was answered (this worker can die before it reports). The receiver sees
//! `Taskyard-Task-Id`, which is the same in all attempts, `Taskyard-Run` and `Taskyard-Attempt` (from 1).

mod address;
mod answer;
mod client;
mod exchange;
mod payload;
mod reach;
mod resolver;

use std::{sync::Arc, time::Duration};

use reqwest::header::HeaderValue;
use taskyard_client::worker::{Job, Outcome};

pub(super) use self::reach::Reach;
use self::{
    exchange::{Fault, Request},
    payload::Payload,
};

/// Runs `http` tasks.
pub(super) struct Http {
    client: reqwest::Client,
    reach: Arc<Reach>,
    response_bytes_max: usize,
}

impl Http {
    pub fn new(reach: Reach, response_bytes_max: usize) -> anyhow::Result<Self> {
        let reach = Arc::new(reach);
        Ok(Self { client: client::build(&reach)?, reach, response_bytes_max })
    }

    /// Makes the request of a job.
    pub async fn run(&self, job: &Job) -> Outcome {
        let (request, timeout) = match self.request(job) {
            Ok(request) => request,
            Err(wrong) => return Outcome::fatal(wrong),
        };
        let exchange = async {
            match exchange::send(&self.client, &self.reach, request).await {
                Ok(response) => answer::outcome(response, self.response_bytes_max).await,
                Err(fault) => fault.into(),
            }
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::failed(format!("no complete answer within {} s", timeout.as_secs_f64())),
        }
    }

    fn request(&self, job: &Job) -> Result<(Request, Duration), String> {
        let payload = Payload::read(&job.payload)?;
        let timeout = payload.timeout.map_or(job.timeout, |timeout| timeout.min(job.timeout));
        let mut request = payload.request;
        self.reach.check_url(&request.url).map_err(|refused| refused.to_string())?;
        for (name, value) in [
            ("taskyard-task-id", job.task_id.to_string()),
            ("taskyard-run", job.run.to_string()),
            ("taskyard-attempt", job.attempt.saturating_add(1).to_string()),
        ] {
            let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
            request.headers.insert(name, value);
        }
        Ok((request, timeout))
    }
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Lasting(error) => Self::fatal(error),
            Fault::Passing(error) => Self::failed(error),
        }
    }
}

#[cfg(test)]
mod tests;
