//! Streams come and go.

use std::time::Duration;

use taskyard_core::Result;
use taskyard_proto::v1;
use tokio::time::Instant;
use tonic::Status;

use super::Serving;
use crate::worker::{
    Handler,
    link::{self, Link, OpenError},
    run_name::RunName,
};

/// How long a pod may take to answer Goodbye.
pub(super) const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

// A stream that lived this long was a good one.
const GOOD_STREAM: Duration = Duration::from_secs(5);
const WARN_INTERVAL: Duration = Duration::from_secs(30);

impl<H: Handler> Serving<H> {
    /// Opens a stream if it is time, and leaves one that is silent.
    pub(super) fn check_stream(&mut self, now: Instant) {
        if let Some(link) = &mut self.link {
            if link.farewell_by.is_some_and(|by| now >= by) {
                self.lost("the pod does not answer Goodbye", None);
            } else if now >= link.heard_at + link.silence_timeout {
                let silent = Status::unavailable("the pod is silent");
                self.lost("the pod is silent", Some(&silent));
            } else if now >= link.silence_check_at {
                link.silence_check_at = link.heard_at + link.silence_timeout;
            }
        }
        let wants_stream = self.link.as_ref().is_none_or(|link| link.draining);
        if wants_stream && self.connecting.is_none() && now >= self.connect_at {
            self.connect();
        }
    }

    /// The stream is of no use any more. What was on its way is sent again on the next one.
    pub(super) fn lost(&mut self, why: &str, status: Option<&Status>) {
        let Some(link) = self.link.take() else { return };
        let now = Instant::now();
        if now.duration_since(link.opened_at) >= GOOD_STREAM {
            self.backoff.reset();
        }
        if let Some(status) = status {
            link.channel.avoid(link.opened_at, status.message());
        }
        if link.draining {
            // Another one is on its way.
            return;
        }
        self.tried.add(link.channel.address());
        tracing::info!(pod = %link.channel.address(), why, "The stream has ended; another is opened");
        self.connect_at = now + self.backoff.next_delay();
    }

    /// The pod sends us elsewhere; its stream stays until the other one is there.
    pub(super) fn drain(&mut self) {
        let Some(link) = &mut self.link else { return };
        if !std::mem::replace(&mut link.draining, true) {
            tracing::info!(pod = %link.channel.address(), "The pod sends this worker to another pod");
            self.tried.add(link.channel.address());
            let now = Instant::now();
            // Pods that do nothing but drain are not to be run through without a pause.
            let young = now.duration_since(link.opened_at) < GOOD_STREAM;
            self.connect_at = if young { now + self.backoff.next_delay() } else { now };
        }
    }

    pub(super) fn opened(&mut self, opened: Result<Link, OpenError>) -> Result<()> {
        let mut link = match opened {
            Ok(link) => link,
            Err(OpenError::Refused(error)) => return Err(error),
            Err(OpenError::Failed(address, error)) => {
                let now = Instant::now();
                if let Some(address) = address {
                    self.tried.add(address);
                }
                if self.warned_at.is_none_or(|at| now >= at + WARN_INTERVAL) {
                    self.warned_at = Some(now);
                    tracing::warn!(error = error.message, "No stream to a pod; trying again");
                }
                self.connect_at = now + self.backoff.next_delay();
                return Ok(());
            }
        };
        self.warned_at = None;
        self.tried.clear();
        for name in self.held.finished() {
            link.outgoing.push_result(name);
        }
        if self.leaving.is_some() && link.slots > 0 {
            link.outgoing.slots = Some(v1::Slots { slots: 0, bytes: 0 });
        }
        // Drops the stream of a pod that drains.
        self.link = Some(link);
        Ok(())
    }

    fn connect(&mut self) {
        // While there is no stream, or one that drains, nothing is added to what is held: this list stays right until
        // the hello is sent.
        let hello = v1::Hello {
            session: self.session.to_string(),
            name: self.config.name.clone(),
            queues: self.config.queues.clone(),
            kinds: self.config.kinds.clone(),
            slots: if self.leaving.is_some() { 0 } else { self.config.slots },
            bytes: self.config.bytes,
            held: self.held.names().map(RunName::to_proto).collect(),
        };
        self.said_hello = true;
        let except = self.tried.addresses().to_vec();
        self.connecting = Some(Box::pin(link::open(self.pods.clone(), hello, except, self.config.bytes)));
    }
}
