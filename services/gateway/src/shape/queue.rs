//! A queue as it stands.

use schemars::JsonSchema;
use serde::Serialize;
use taskyard_core::{Error, Result};
use taskyard_proto::v1;

use super::time::millis;

/// A queue.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Queue {
    name: String,
    /// Nothing more is started.
    paused: bool,
    /// How many tasks may run at once; 0 is no limit.
    concurrency_max: u32,
    /// Tasks that could start now; counted up to 100,000.
    ready: u64,
    /// Tasks that wait for their time; counted up to 100,000.
    scheduled: u64,
    /// Manual tasks; counted up to 100,000.
    open: u64,
    running: u64,
    oldest_ready_age_ms: Option<u64>,
    /// Slots of the workers that serve this queue.
    worker_slots: u64,
    /// Workers that serve this queue.
    workers: u64,
}

impl TryFrom<v1::Queue> for Queue {
    type Error = Error;

    fn try_from(queue: v1::Queue) -> Result<Self> {
        Ok(Self {
            name: queue.name,
            paused: queue.paused,
            concurrency_max: queue.concurrency_max,
            ready: queue.ready,
            scheduled: queue.scheduled,
            open: queue.open,
            running: queue.running,
            oldest_ready_age_ms: millis(queue.oldest_ready_age)?,
            worker_slots: queue.worker_slots,
            workers: queue.workers,
        })
    }
}

/// One page of queues.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Queues {
    queues: Vec<Queue>,
    /// `null` at the end.
    next_page_token: Option<String>,
}

impl TryFrom<v1::ListQueuesResponse> for Queues {
    type Error = Error;

    fn try_from(page: v1::ListQueuesResponse) -> Result<Self> {
        Ok(Self {
            queues: page.queues.into_iter().map(Queue::try_from).collect::<Result<_>>()?,
            next_page_token: Some(page.next_page_token).filter(|token| !token.is_empty()),
        })
    }
}
