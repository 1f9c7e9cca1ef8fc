//! Queues.

use taskyard_client::v1;
use taskyard_proto::convert;

use super::{clean, table::Table, time::coarse};

/// Queues, one a line.
#[derive(Debug)]
pub struct QueueTable(Table<9>);

impl QueueTable {
    /// An empty table.
    pub fn new() -> Self {
        Self(Table::new(["QUEUE", "READY", "RUNNING", "LIMIT", "SCHEDULED", "OPEN", "OLDEST", "WORKERS", "SLOTS"]))
    }

    /// The lines of a page; none if it is empty.
    pub fn lines(&mut self, queues: Vec<v1::Queue>) -> Option<String> {
        let rows: Vec<_> = queues.into_iter().map(row).collect();
        self.0.lines(&rows)
    }
}

fn row(queue: v1::Queue) -> [String; 9] {
    let age = queue.oldest_ready_age.and_then(|age| convert::duration("age", age).ok());
    let limit = match queue.concurrency_max {
        0 => "-".to_owned(),
        most => most.to_string(),
    };
    [
        format!("{}{}", clean(&queue.name), if queue.paused { " (paused)" } else { "" }),
        queue.ready.to_string(),
        queue.running.to_string(),
        limit,
        queue.scheduled.to_string(),
        queue.open.to_string(),
        age.map_or_else(|| "-".to_owned(), |age| coarse(age.as_secs())),
        queue.workers.to_string(),
        queue.worker_slots.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_one_line() {
        let queue = v1::Queue { name: "mail".into(), paused: true, ready: 3, ..Default::default() };
        assert_eq!(
            QueueTable::new().lines(vec![queue]).unwrap(),
            "QUEUE          READY  RUNNING  LIMIT  SCHEDULED  OPEN  OLDEST  WORKERS  SLOTS\n\
             mail (paused)  3      0        -      0          0     -       0        0"
        );
    }
}
