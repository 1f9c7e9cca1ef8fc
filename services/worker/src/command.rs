//! `taskyard work`: makes any program a worker.
//!
//! Each run of a task starts the command anew, in a process group of its own.
//!
//! | what | how |
//! |---|---|
//! | payload | on standard input, as JSON |
//! | task | `TASKYARD_TASK_ID`, `TASKYARD_RUN`, `TASKYARD_ATTEMPT` (from 1), `TASKYARD_QUEUE`, `TASKYARD_KIND`, `TASKYARD_TITLE` |
//! | progress | lines on standard output like `progress 40 half of the pages` (0 to 100; the message can be left out) |
//! | result | the last JSON document on standard output; `null` if there is none |
//! | exit code 0 | completes |
//! | exit code 75 | fails; tried again while attempts are left |
//! | another exit code | fails for good, with the end of standard error as the reason |
//! | killed by a signal | fails; tried again while attempts are left |
//!
//! A JSON document begins on a line of its own (blanks before it are fine), may go over many lines, and only blanks, or
//! further documents, follow on the line that it ends on. Everything else on standard output, words for people for
//! instance, is ignored. Standard error goes on to ours, each line with the task's id before it.
//!
//! When a task is canceled or takes too long, and at the end of the grace period of a shutdown, the whole process group
//! gets SIGTERM, and SIGKILL 5 s later. What a command left running in its group is killed a second after the command
//! itself has ended. A process that leaves its group (`setsid`) is out of reach.
//!
//! If this program itself is killed with SIGKILL, the commands under way go on, with their standard output and error
//! closed, until they end or write to either; the server gives their tasks to another worker once the session has
//! expired. Where two at once would do harm, start it in a container or a systemd unit, which end all of them together.

mod document;
mod ending;
mod group;
mod program;
mod running;
mod stderr;
mod stdout;

use std::{ffi::OsString, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use taskyard_client::{
    Pods,
    worker::{Context, Handler, Job, Outcome, Worker},
};
use taskyard_core::limits;
use taskyard_runtime::config::Problems;
use tokio_util::sync::CancellationToken;

use self::{program::Program, stderr::Passed};
use crate::config::{check_grace_period, check_queues, check_slots, worker_name};

/// What `taskyard work` is told.
#[derive(Args, Clone, Debug)]
pub struct CommandConfig {
    /// A queue to serve; repeat it for more; every queue if not given
    #[arg(long = "queue", value_name = "QUEUE")]
    pub queues: Vec<String>,
    /// A kind of task that the command can do; repeat it for more
    #[arg(long = "kind", required = true, value_name = "KIND")]
    pub kinds: Vec<String>,
    /// How many commands run at once
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    pub concurrency: u32,
    /// Its name in lists and logs; the host's name if not given
    #[arg(long, env = "TASKYARD_WORKER_NAME", value_name = "NAME")]
    pub worker_name: Option<String>,
    /// How many seconds it may take to stop: running commands are finished or handed back within it
    #[arg(long, env = "TASKYARD_GRACE_PERIOD_S", default_value_t = 25, value_name = "SECONDS")]
    pub grace_period_s: u64,
    /// The command, and its arguments
    #[arg(last = true, required = true, num_args = 1.., value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// The same, checked.
#[derive(Debug)]
pub struct CheckedCommand {
    config: CommandConfig,
    program: Program,
}

impl CommandConfig {
    /// Checks everything and names every mistake at once.
    ///
    /// # Errors
    /// If something is wrong, or the command is not there.
    pub fn check(self) -> anyhow::Result<CheckedCommand> {
        let mut problems = Problems::default();
        let program = problems.take(Program::find(&self.command));
        check_slots("--concurrency", self.concurrency, &mut problems);
        check_queues(&self.queues, &mut problems);
        check_grace_period(self.grace_period_s, &mut problems);
        for kind in &self.kinds {
            problems.take(limits::check_name("--kind", kind));
        }
        let program = problems.finish(program)?;
        Ok(CheckedCommand { config: self, program })
    }
}

/// Runs the command for each task until `shutdown`.
///
/// # Errors
/// If the pods refuse this worker.
pub async fn run(command: CheckedCommand, pods: Pods, shutdown: CancellationToken) -> anyhow::Result<()> {
    let CheckedCommand { config, program } = command;
    let worker = Worker::builder(pods)
        .name(worker_name(config.worker_name))
        .queues(config.queues)
        .kinds(&config.kinds)
        .slots(config.concurrency)
        .grace_period(Duration::from_secs(config.grace_period_s))
        // Time to end the process group before the run itself is aborted.
        .stop_grace(running::TERMINATE_GRACE + Duration::from_secs(2))
        .build()?;
    tracing::info!(session = %worker.session(), kinds = ?config.kinds, command = %program, "The worker begins");
    let handler = Commands { program, stderr: Arc::new(Passed::to_stderr()) };
    worker.run(handler, shutdown).await.context("the worker cannot go on")
}

/// Starts the command for each job.
struct Commands {
    program: Program,
    stderr: Arc<Passed>,
}

impl Handler for Commands {
    async fn run(&self, job: Job, context: Context) -> Outcome {
        running::run(&self.program, &self.stderr, &job, &context).await
    }
}

#[cfg(test)]
mod tests;
