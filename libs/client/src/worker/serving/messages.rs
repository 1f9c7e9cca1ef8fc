//! What a pod says.

use std::sync::Arc;

use bytes::Bytes;
use taskyard_proto::v1::{self, work_response::Message};
use tokio::time::Instant;
use tonic::Status;

use super::Serving;
use crate::worker::{
    Context, Handler, Job, handler,
    held::{Stopped, reason_of},
    run_name::RunName,
};

impl<H: Handler> Serving<H> {
    pub(super) fn received(&mut self, received: Result<Option<v1::WorkResponse>, Status>) {
        let message = match received {
            Ok(Some(message)) => message,
            Ok(None) => return self.lost("the pod closed the stream", None),
            Err(status) => return self.lost(status.message(), Some(&status)),
        };
        if let Some(link) = &mut self.link {
            link.heard_at = Instant::now();
        }
        // What a newer pod says and this version does not know is passed over.
        let Some(message) = message.message else { return };
        if let Err(violation) = self.take(message) {
            tracing::error!(violation, "A pod breaks the protocol; its stream is left");
            let status = Status::unavailable(violation);
            self.lost("it broke the protocol", Some(&status));
        }
    }

    fn take(&mut self, message: Message) -> Result<(), String> {
        match message {
            Message::Assignments(assignments) => {
                assignments.runs.into_iter().try_for_each(|assignment| self.assign(assignment))
            }
            Message::Chunk(chunk) => self.link.as_mut().map_or(Ok(()), |link| link.chunks.add(&chunk)),
            Message::Acks(acks) => acks.acks.iter().try_for_each(|ack| self.acknowledge(ack)),
            Message::Stops(stops) => stops.stops.iter().try_for_each(|stop| self.stop(stop)),
            Message::Ping(_) => {
                if let Some(link) = &mut self.link {
                    link.outgoing.pong = true;
                }
                Ok(())
            }
            Message::Drain(_) => {
                self.drain();
                Ok(())
            }
            Message::Farewell(_) => {
                if self.leaving.is_some() && self.held.is_empty() {
                    self.done = true;
                } else {
                    self.lost("the pod closed the session", None);
                }
                Ok(())
            }
            Message::Welcome(_) => Err("a second Welcome on one stream".to_owned()),
        }
    }

    fn assign(&mut self, mut assignment: v1::Assignment) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let name = RunName::parse(&assignment.task_id, assignment.run).map_err(|error| error.message)?;
        let payload = std::mem::take(&mut assignment.payload);
        // A copy, as the message's own bytes are one piece with all that came in the same message.
        let payload = Bytes::copy_from_slice(&payload);
        let payload = link.chunks.payload(name, payload, assignment.chunked_bytes)?;
        if link.draining {
            // The hello to the next pod does not name it, so it goes back.
            tracing::debug!(run = %name, "An assignment after Drain is not taken");
            return Ok(());
        }
        if self.held.contains(name) {
            tracing::debug!(run = %name, "An assignment came twice");
            return Ok(());
        }
        if self.leaving.is_some() || self.held.running() >= self.config.slots as usize {
            self.held.hand_back(name);
            link.outgoing.push_result(name);
            return Ok(());
        }
        let job = Job::new(name, assignment, payload);
        let timeout = job.timeout;
        let context = Context::new(name, Arc::clone(&self.board), self.shutting_down.clone());
        let work = handler::start(&self.handler, name, job, context.clone(), self.ended_sender.clone());
        self.held.begin(name, context, work, timeout, Instant::now());
        Ok(())
    }

    fn acknowledge(&mut self, ack: &v1::ResultAck) -> Result<(), String> {
        let name = RunName::parse(&ack.task_id, ack.run).map_err(|error| error.message)?;
        if self.held.acknowledge(name, ack.verdict(), &ack.message)
            && let Some(link) = &mut self.link
        {
            link.outgoing.push_result(name);
        }
        Ok(())
    }

    fn stop(&mut self, stop: &v1::Stop) -> Result<(), String> {
        let name = RunName::parse(&stop.task_id, stop.run).map_err(|error| error.message)?;
        let stopped = self.held.stop(name, reason_of(stop.reason()), Instant::now());
        match &mut self.link {
            Some(link) if stopped == Stopped::NotHeld => link.outgoing.push_stranger(name),
            _ => Ok(()),
        }
    }
}
