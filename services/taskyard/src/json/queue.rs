//! A queue.

use serde::Serialize;
use taskyard_client::v1;

use super::time::millis;

/// A queue as it stands.
#[derive(Debug, Serialize)]
pub struct Queue {
    name: String,
    paused: bool,
    concurrency_max: u32,
    ready: u64,
    scheduled: u64,
    open: u64,
    running: u64,
    oldest_ready_age_ms: Option<u64>,
    worker_slots: u64,
    workers: u64,
}

impl From<v1::Queue> for Queue {
    fn from(queue: v1::Queue) -> Self {
        Self {
            name: queue.name,
            paused: queue.paused,
            concurrency_max: queue.concurrency_max,
            ready: queue.ready,
            scheduled: queue.scheduled,
            open: queue.open,
            running: queue.running,
            oldest_ready_age_ms: millis(queue.oldest_ready_age),
            worker_slots: queue.worker_slots,
            workers: queue.workers,
        }
    }
}
