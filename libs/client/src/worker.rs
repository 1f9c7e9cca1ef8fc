//! Be a worker: take runs of tasks, do them, report.
//!
//! ```no_run
//! # use taskyard_client::{Pods, Token, worker::{Context, Job, Outcome, Worker}};
//! # async fn example(shutdown: tokio_util::sync::CancellationToken) -> taskyard_client::Result<()> {
//! let pods = Pods::connect(["http://127.0.0.1:50051"], Token::none())?;
//! let worker = Worker::builder(pods).name("mailer-1").kinds(["mail"]).slots(20).build()?;
//! worker
//!     .run(
//!         |job: Job, context: Context| async move {
//!             context.progress(50, "half way");
//!             tokio::select! {
//!                 () = tokio::time::sleep(std::time::Duration::from_secs(1)) => Outcome::Completed(job.payload),
//!                 _ = context.stopped() => Outcome::Stopped,
//!             }
//!         },
//!         shutdown,
//!     )
//!     .await
//! # }
//! ```
//!
//! A worker is a *session*, with an id of its own that it keeps while pods come and go. It holds a run from the moment
//! the run arrived until the pod has acknowledged its result; results are sent again until then, to whichever pod it
//! has a stream to. `work.proto` has the protocol.
//!
//! Memory is bounded by the slots: at most that many runs with a payload (their sum bounded by the credit in bytes)
//! or an unacknowledged result of at most 1 MiB each.

mod chunks;
mod config;
mod context;
mod handler;
mod held;
mod job;
mod leaving;
mod link;
mod outcome;
mod outgoing;
mod progress;
mod run_name;
mod serving;
pub mod testing;

use self::{config::Config, serving::Serving};
pub use self::{
    config::WorkerBuilder,
    context::{Context, StopReason},
    handler::Handler,
    job::Job,
    outcome::Outcome,
};
use std::fmt;
use taskyard_core::Result;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Pods;

/// A worker that is ready to run.
pub struct Worker {
    pods: Pods,
    config: Config,
    session: Uuid,
}

impl Worker {
    /// Begins a worker that gets its work from these pods.
    pub const fn builder(pods: Pods) -> WorkerBuilder {
        WorkerBuilder::new(pods)
    }

    /// The id of its session, as lists of workers show it.
    #[must_use]
    pub const fn session(&self) -> Uuid {
        self.session
    }

    /// Works until `shutdown`, over any number of lost and drained pods.
    ///
    /// After `shutdown` it takes no more work, lets what runs go on for the grace period, hands back what did not
    /// finish (no attempt is spent), waits for the acknowledgements and closes the session. It ends within the grace
    /// period.
    ///
    /// # Errors
    /// If the pods refuse this worker: its token, its right to work, or what it says of itself. What was running then
    /// is aborted.
    pub async fn run<H: Handler>(self, handler: H, shutdown: CancellationToken) -> Result<()> {
        Box::pin(Serving::new(self.pods, self.config, self.session, handler).run(shutdown)).await
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("session", &self.session).field("config", &self.config).finish_non_exhaustive()
    }
}
