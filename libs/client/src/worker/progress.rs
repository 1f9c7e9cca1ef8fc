//! The board on which handlers leave their progress. It holds the last of each run, and is sent all at once.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use taskyard_core::limits;
use taskyard_proto::v1;
use tokio::sync::Notify;

use super::run_name::RunName;

/// Runs with news, at most one entry each.
#[derive(Debug, Default)]
pub(super) struct Board {
    news: Mutex<Vec<(RunName, Arc<Cell>)>>,
    changed: Notify,
}

/// The last progress of one run, if it was not sent yet.
#[derive(Debug, Default)]
pub(super) struct Cell(Mutex<Option<v1::Progress>>);

impl Board {
    /// Replaces a run's progress.
    pub fn put(&self, name: RunName, cell: &Arc<Cell>, percent: u8, message: &str) {
        let message = limits::clean_message(message, limits::PROGRESS_BYTES_MAX);
        let progress = v1::Progress { percent: u32::from(percent.min(100)), message };
        let before = cell.0.lock().unwrap_or_else(PoisonError::into_inner).replace(progress);
        if before.is_none() {
            self.news.lock().unwrap_or_else(PoisonError::into_inner).push((name, Arc::clone(cell)));
            self.changed.notify_one();
        }
    }

    /// Waits until there are news.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes the last progress of each run that has news and is `wanted`.
    pub fn take(&self, wanted: impl Fn(RunName) -> bool) -> Vec<v1::ProgressReport> {
        let news = mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner));
        let report = |(name, cell): (RunName, Arc<Cell>)| {
            let progress = cell.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            let progress = progress.filter(|_| wanted(name))?;
            Some(v1::ProgressReport { task_id: name.task_id.to_string(), run: name.run, progress: Some(progress) })
        };
        news.into_iter().filter_map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_last_one_of_each_run_is_taken_once() {
        let board = Board::default();
        let [one, two] = [1, 2].map(|run| (RunName { task_id: Uuid::nil(), run }, Arc::new(Cell::default())));
        for percent in 0..=200 {
            board.put(one.0, &one.1, percent, "a\0b");
        }
        board.put(two.0, &two.1, 5, &"x".repeat(9_999));
        assert_eq!(board.news.lock().expect("no panic").len(), 2, "however often a run tells");
        let taken = board.take(|_| true);
        let percents: Vec<_> =
            taken.iter().map(|report| (report.run, report.progress.as_ref().expect("set").percent)).collect();
        assert_eq!(percents, [(1, 100), (2, 5)]);
        assert_eq!(taken[0].progress.as_ref().expect("set").message, "a\u{fffd}b");
        assert_eq!(taken[1].progress.as_ref().expect("set").message.len(), limits::PROGRESS_BYTES_MAX);
        assert!(board.take(|_| true).is_empty());

        board.put(one.0, &one.1, 1, "");
        assert!(board.take(|_| false).is_empty(), "nobody wants it any more");
        board.put(one.0, &one.1, 2, "");
        assert_eq!(board.take(|_| true).len(), 1);
    }
}
