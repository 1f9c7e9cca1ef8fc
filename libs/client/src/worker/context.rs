//! What a handler has besides its job: it tells its progress, and is told to stop.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    progress::{Board, Cell},
    run_name::RunName,
};

/// Why a run is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StopReason {
    /// Somebody canceled the task.
    Canceled = 1,
    /// The run took longer than its timeout.
    TimedOut = 2,
    /// The task went to another run, finished, or is gone.
    NotYours = 3,
    /// The worker is about to end and cannot wait any longer.
    ShuttingDown = 4,
}

/// What a handler has besides its job. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    run: Arc<Run>,
}

struct Run {
    name: RunName,
    stop: AtomicU8,
    stopped: Notify,
    progress: Arc<Cell>,
    board: Arc<Board>,
    shutting_down: CancellationToken,
}

impl Context {
    pub(super) fn new(name: RunName, board: Arc<Board>, shutting_down: CancellationToken) -> Self {
        let run = Run {
            name,
            stop: AtomicU8::new(0),
            stopped: Notify::new(),
            progress: Arc::default(),
            board,
            shutting_down,
        };
        Self { run: Arc::new(run) }
    }

    /// Tells how far the run is: `percent` from 0 to 100, and a message, cut at 512 bytes. Tell it as often as you
    /// like: only the last one counts, and at most four a second are sent.
    pub fn progress(&self, percent: u8, message: impl AsRef<str>) {
        self.run.board.put(self.run.name, &self.run.progress, percent, message.as_ref());
    }

    /// Waits until the run has to end. Return [`Outcome::Stopped`](super::Outcome::Stopped) soon after; a run that
    /// does not is aborted. With [`StopReason::ShuttingDown`] that hands the run back.
    pub async fn stopped(&self) -> StopReason {
        loop {
            let stopped = self.run.stopped.notified();
            tokio::pin!(stopped);
            // From here on no stop is missed.
            stopped.as_mut().enable();
            if let Some(reason) = self.stop_reason() {
                return reason;
            }
            stopped.await;
        }
    }

    /// Why the run has to end, if it has to.
    #[must_use]
    pub fn stop_reason(&self) -> Option<StopReason> {
        match self.run.stop.load(Ordering::Acquire) {
            1 => Some(StopReason::Canceled),
            2 => Some(StopReason::TimedOut),
            3 => Some(StopReason::NotYours),
            4 => Some(StopReason::ShuttingDown),
            _ => None,
        }
    }

    /// Waits until the worker begins to shut down. The run may go on until [`Context::stopped`]; one that would not be
    /// done in time can return [`Outcome::Returned`](super::Outcome::Returned) at once.
    pub async fn shutting_down(&self) {
        self.run.shutting_down.cancelled().await;
    }

    /// Whether the worker shuts down.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.run.shutting_down.is_cancelled()
    }

    /// Tells the handler to stop. The first reason stays.
    pub(super) fn stop(&self, reason: StopReason) {
        if self.run.stop.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.run.stopped.notify_waiters();
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("run", &self.run.name)
            .field("stop", &self.stop_reason())
            .finish_non_exhaustive()
    }
}
