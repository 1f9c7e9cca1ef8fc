//! What is to be sent on one stream. A message is made at the moment at which the stream can take it, of all that is
//! ready by then; so many small results become one message, and a queue is only of names.

use std::collections::VecDeque;

use bytes::Bytes;
use taskyard_core::limits::{CHUNK_BYTES_MAX, SLOTS_MAX};
use taskyard_proto::v1::{self, result, work_request::Message};

use super::{
    held::Held,
    outcome::{completed, stopped},
    run_name::RunName,
};

// Of one message: what follows it waits for no more than this.
const RESULTS_MAX: usize = 512;
const RESULTS_BYTES_MAX: usize = CHUNK_BYTES_MAX;
const REPORTS_MAX: usize = 128;

/// What is to be sent on one stream.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub pong: bool,
    pub slots: Option<v1::Slots>,
    pub goodbye: bool,
    results: VecDeque<RunName>,
    // Runs that were stopped and are not held.
    strangers: VecDeque<RunName>,
    reports: VecDeque<v1::ProgressReport>,
    // Runs whose result goes in chunks, one after the other.
    large: VecDeque<RunName>,
    transfer: Option<Transfer>,
    chunk_was_last: bool,
}

#[derive(Debug)]
struct Transfer {
    name: RunName,
    result: Bytes,
    sent: usize,
}

impl Outgoing {
    /// A run has something to report.
    pub fn push_result(&mut self, name: RunName) {
        self.results.push_back(name);
    }

    /// A run was stopped that is not held.
    ///
    /// # Errors
    /// If the pod stops more of those than a worker could ever hold.
    pub fn push_stranger(&mut self, name: RunName) -> Result<(), String> {
        if self.strangers.len() > SLOTS_MAX as usize {
            return Err("the pod stops more runs than this worker could hold".to_owned());
        }
        self.strangers.push_back(name);
        Ok(())
    }

    /// Progress to be told. The caller asks [`Outgoing::has_reports`] first.
    pub fn push_reports(&mut self, reports: Vec<v1::ProgressReport>) {
        self.reports.extend(reports);
    }

    /// Progress waits to be sent: newer progress better waits on the board, where it replaces older.
    pub fn has_reports(&self) -> bool {
        !self.reports.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        !self.pong && self.slots.is_none() && !self.goodbye && self.has_no_results() && self.reports.is_empty()
    }

    /// The next message, if there is one.
    pub fn next(&mut self, held: &Held) -> Option<v1::WorkRequest> {
        self.message(held).map(|message| v1::WorkRequest { message: Some(message) })
    }

    fn message(&mut self, held: &Held) -> Option<Message> {
        if std::mem::take(&mut self.pong) {
            return Some(Message::Pong(v1::Pong {}));
        }
        if let Some(slots) = self.slots.take() {
            return Some(Message::Slots(slots));
        }
        // Chunks and the rest take turns.
        if !self.chunk_was_last
            && let Some(chunk) = self.next_chunk(held)
        {
            self.chunk_was_last = true;
            return Some(chunk);
        }
        self.chunk_was_last = false;
        let rest = self.next_results(held).or_else(|| self.next_reports()).or_else(|| self.next_chunk(held));
        if rest.is_none() && self.has_no_results() && std::mem::take(&mut self.goodbye) {
            return Some(Message::Goodbye(v1::Goodbye {}));
        }
        rest
    }

    fn has_no_results(&self) -> bool {
        self.results.is_empty() && self.strangers.is_empty() && self.large.is_empty() && self.transfer.is_none()
    }

    fn next_results(&mut self, held: &Held) -> Option<Message> {
        let mut results = Vec::new();
        let mut bytes = 0;
        while results.len() < RESULTS_MAX && bytes < RESULTS_BYTES_MAX {
            let Some(name) = self.results.pop_front() else { break };
            // Acknowledged meanwhile: nothing to report any more.
            let Some(outcome) = held.outcome(name) else { continue };
            if matches!(outcome, result::Outcome::Completed(done) if done.result.len() > CHUNK_BYTES_MAX) {
                self.large.push_back(name);
                continue;
            }
            bytes += bytes_of(outcome);
            results.push(result(name, outcome.clone()));
        }
        let room = RESULTS_MAX - results.len();
        results.extend(self.strangers.drain(..room.min(self.strangers.len())).map(|name| result(name, stopped())));
        (!results.is_empty()).then_some(Message::Results(v1::Results { results }))
    }

    fn next_reports(&mut self) -> Option<Message> {
        let reports: Vec<_> = self.reports.drain(..REPORTS_MAX.min(self.reports.len())).collect();
        (!reports.is_empty()).then_some(Message::Progress(v1::ProgressReports { reports }))
    }

    fn next_chunk(&mut self, held: &Held) -> Option<Message> {
        if self.transfer.is_none() {
            self.transfer = self.next_transfer(held);
        }
        let transfer = self.transfer.as_mut()?;
        let name = transfer.name;
        let end = transfer.result.len().min(transfer.sent + CHUNK_BYTES_MAX);
        if transfer.sent == end {
            let outcome = completed(Bytes::new(), end as u64);
            self.transfer = None;
            return Some(Message::Results(v1::Results { results: vec![result(name, outcome)] }));
        }
        let data = transfer.result.slice(transfer.sent..end);
        transfer.sent = end;
        Some(Message::Chunk(v1::Chunk { task_id: name.task_id.to_string(), run: name.run, data }))
    }

    fn next_transfer(&mut self, held: &Held) -> Option<Transfer> {
        while let Some(name) = self.large.pop_front() {
            if let Some(result::Outcome::Completed(done)) = held.outcome(name) {
                return Some(Transfer { name, result: done.result.clone(), sent: 0 });
            }
        }
        None
    }
}

fn result(name: RunName, outcome: result::Outcome) -> v1::Result {
    v1::Result { task_id: name.task_id.to_string(), run: name.run, outcome: Some(outcome) }
}

fn bytes_of(outcome: &result::Outcome) -> usize {
    match outcome {
        result::Outcome::Completed(done) => done.result.len(),
        result::Outcome::Failed(failed) => failed.error.len(),
        result::Outcome::Returned(_) | result::Outcome::Stopped(_) => 0,
    }
}
