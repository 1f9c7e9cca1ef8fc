//! What goes down a worker's stream: control messages first, then work, in pieces small enough that control never
//! waits long.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::Stream;
use taskyard_core::limits;
use taskyard_proto::v1::{Assignment, Assignments, Chunk, WorkResponse, work_response::Message};
use tokio::sync::mpsc;
use tonic::Status;

/// Control messages that wait; a worker that reads so little loses its stream.
const CONTROL_MAX: usize = 20_000;

/// A handle to send to the worker.
#[derive(Debug)]
pub struct Outbox {
    control: mpsc::Sender<Result<WorkResponse, Status>>,
    /// Not bounded by count: the worker's credit in bytes bounds it.
    work: mpsc::UnboundedSender<WorkResponse>,
}

/// The stream that the worker reads; it ends when the outbox is dropped.
#[derive(Debug)]
pub struct OutboxStream {
    control: mpsc::Receiver<Result<WorkResponse, Status>>,
    work: mpsc::UnboundedReceiver<WorkResponse>,
}

/// An outbox and its stream.
pub fn outbox() -> (Outbox, OutboxStream) {
    let (control, control_receiver) = mpsc::channel(CONTROL_MAX);
    let (work, work_receiver) = mpsc::unbounded_channel();
    (Outbox { control, work }, OutboxStream { control: control_receiver, work: work_receiver })
}

/// The way out for a refusal, while the outbox is elsewhere.
#[derive(Debug)]
pub struct Refusal(mpsc::Sender<Result<WorkResponse, Status>>);

impl Refusal {
    /// Ends the stream with an error.
    pub fn fail(&self, status: Status) {
        // If it is gone, nobody needs to know.
        let _ = self.0.try_send(Err(status));
    }
}

impl Outbox {
    /// The outbox, and a way out for a refusal. The stream ends when both are dropped.
    pub fn split(self) -> (Self, Refusal) {
        let refusal = Refusal(self.control.clone());
        (self, refusal)
    }

    /// Sends a control message. False: the stream is gone or does not keep up.
    pub fn control(&self, message: Message) -> bool {
        self.control.try_send(Ok(WorkResponse { message: Some(message) })).is_ok()
    }

    /// Ends the stream with an error.
    pub fn fail(&self, status: Status) {
        // If it is gone, nobody needs to know.
        let _ = self.control.try_send(Err(status));
    }

    /// Sends runs: small ones together, large payloads cut up.
    pub fn assign(&self, runs: Vec<Assignment>) {
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        for mut run in runs {
            if run.payload.len() > limits::CHUNK_BYTES_MAX {
                let payload = std::mem::take(&mut run.payload);
                run.chunked_bytes = payload.len() as u64;
                for data in chunks(&payload) {
                    self.work(Message::Chunk(Chunk { task_id: run.task_id.clone(), run: run.run, data }));
                }
            }
            let bytes = 256 + run.payload.len();
            if batch_bytes + bytes > limits::CHUNK_BYTES_MAX && !batch.is_empty() {
                self.work(Message::Assignments(Assignments { runs: std::mem::take(&mut batch) }));
                batch_bytes = 0;
            }
            batch_bytes += bytes;
            batch.push(run);
        }
        if !batch.is_empty() {
            self.work(Message::Assignments(Assignments { runs: batch }));
        }
    }

    fn work(&self, message: Message) {
        // If the stream is gone, the session's end says so.
        let _ = self.work.send(WorkResponse { message: Some(message) });
    }
}

fn chunks(payload: &Bytes) -> impl Iterator<Item = Bytes> {
    (0..payload.len())
        .step_by(limits::CHUNK_BYTES_MAX)
        .map(|start| payload.slice(start..payload.len().min(start + limits::CHUNK_BYTES_MAX)))
}

impl Stream for OutboxStream {
    type Item = Result<WorkResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.control.poll_recv(context) {
            Poll::Ready(Some(message)) => return Poll::Ready(Some(message)),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        match self.work.poll_recv(context) {
            Poll::Ready(Some(message)) => Poll::Ready(Some(Ok(message))),
            // The end is told by `control`.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
