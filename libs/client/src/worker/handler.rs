//! What does the work, and how it is started so that its end is always told.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt;
use tokio::{sync::mpsc::UnboundedSender, task::AbortHandle};

use super::{Context, Job, Outcome, run_name::RunName};

/// Does the work. Closures of a [`Job`] and a [`Context`] are handlers, too.
///
/// A run can be done more than once: a worker can be lost after the work and before its report. What must happen once
/// needs a key, for which `task_id` is made.
pub trait Handler: Send + Sync + 'static {
    /// Does one run. When [`Context::stopped`] comes, end soon; whoever does not is aborted: the future is dropped at
    /// its next await. A panic is caught and becomes a failure.
    fn run(&self, job: Job, context: Context) -> impl Future<Output = Outcome> + Send;
}

impl<F, R> Handler for F
where
    F: Fn(Job, Context) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send,
{
    fn run(&self, job: Job, context: Context) -> impl Future<Output = Outcome> + Send {
        self(job, context)
    }
}

/// How a handler ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// By itself.
    Outcome(Outcome),
    /// It panicked with this message.
    Panicked(String),
    /// It was aborted.
    Aborted,
}

/// Starts a handler. `ended` is told of its end, whatever that is, once.
pub(super) fn start<H: Handler>(
    handler: &Arc<H>,
    name: RunName,
    job: Job,
    context: Context,
    ended: UnboundedSender<(RunName, Ending)>,
) -> AbortHandle {
    let handler = Arc::clone(handler);
    let report = Report { name, ended, ending: None };
    let work = async move {
        let done = AssertUnwindSafe(async { handler.run(job, context).await }).catch_unwind().await;
        report.send(match done {
            Ok(outcome) => Ending::Outcome(outcome),
            Err(panic) => Ending::Panicked(message_of(&*panic)),
        });
    };
    tokio::spawn(work).abort_handle()
}

/// Tells when it is dropped, so that an aborted handler is told of when it has really ended.
struct Report {
    name: RunName,
    ended: UnboundedSender<(RunName, Ending)>,
    ending: Option<Ending>,
}

impl Report {
    // By value: the future has to own the whole report, not only the field that it sets.
    fn send(mut self, ending: Ending) {
        self.ending = Some(ending);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // Nobody listens any more when the worker has ended.
        let _ = self.ended.send((self.name, self.ending.take().unwrap_or(Ending::Aborted)));
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the handler panicked: {}", text.unwrap_or("(no message)"))
}
