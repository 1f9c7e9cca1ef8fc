//! For tests of handlers: a job and a context without a server.
//!
//! ```
//! use taskyard_client::worker::{Handler, Job, Context, Outcome, StopReason, testing};
//!
//! async fn handler(_: Job, context: Context) -> Outcome {
//!     context.progress(10, "begun");
//!     context.stopped().await;
//!     Outcome::Stopped
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (context, probe) = testing::context();
//! probe.stop(StopReason::Canceled);
//! assert_eq!(handler(testing::job("mail", "{}"), context).await, Outcome::Stopped);
//! assert_eq!(probe.progress(), Some((10, "begun".to_owned())));
//! # }
//! ```

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use taskyard_core::{id, limits};
use taskyard_proto::v1;
use tokio_util::sync::CancellationToken;

use super::{Context, Job, StopReason, progress::Board, run_name::RunName};

/// The other end of a context: it does what a worker would do, and sees what a pod would see.
#[derive(Debug)]
pub struct Probe {
    context: Context,
    board: Arc<Board>,
    shutting_down: CancellationToken,
}

/// A job of a kind with a payload, the first attempt of three.
#[must_use]
pub fn job(kind: &str, payload: impl Into<Bytes>) -> Job {
    let name = RunName { task_id: id::new_task_id(), run: 1 };
    let assignment = v1::Assignment {
        namespace: "test".to_owned(),
        queue: limits::QUEUE_DEFAULT.to_owned(),
        kind: kind.to_owned(),
        title: "a test".to_owned(),
        attempts_max: 3,
        ..v1::Assignment::default()
    };
    let job = Job::new(name, assignment, payload.into());
    Job { timeout: Duration::from_secs(60), ..job }
}

/// A context and its other end.
#[must_use]
pub fn context() -> (Context, Probe) {
    let (board, shutting_down) = (Arc::<Board>::default(), CancellationToken::new());
    let name = RunName { task_id: id::new_task_id(), run: 1 };
    let context = Context::new(name, Arc::clone(&board), shutting_down.clone());
    (context.clone(), Probe { context, board, shutting_down })
}

impl Probe {
    /// Tells the handler to stop.
    pub fn stop(&self, reason: StopReason) {
        self.context.stop(reason);
    }

    /// Tells the handler that the worker begins to shut down.
    pub fn shut_down(&self) {
        self.shutting_down.cancel();
    }

    /// Waits until there is progress that was not taken yet.
    pub async fn progressed(&self) {
        self.board.changed().await;
    }

    /// The last progress, if there is one that was not taken yet.
    #[must_use]
    pub fn progress(&self) -> Option<(u32, String)> {
        let report = self.board.take(|_| true).pop()?;
        report.progress.map(|progress| (progress.percent, progress.message))
    }
}
