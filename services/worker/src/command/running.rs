//! One command at work: started, fed, listened to, and ended with everything that it started.

use std::{process::Stdio, time::Duration};

use taskyard_client::worker::{Context, Job, Outcome, StopReason};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::{Instant, timeout},
};

use super::{
    ending::Ending,
    group::Group,
    program::Program,
    stderr::{Errors, Passed},
    stdout::Output,
};

/// Between SIGTERM and SIGKILL.
pub(super) const TERMINATE_GRACE: Duration = Duration::from_secs(5);

// A helper at the other end of a pipe (`exec > >(tee log)`) may write on when the command itself has ended.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
const PIECE_BYTES: usize = 16_384;

/// Runs the command for a job.
pub(super) async fn run(program: &Program, passed: &Passed, job: &Job, context: &Context) -> Outcome {
    let mut child = match command(program, job).spawn() {
        Ok(child) => child,
        Err(error) => return Outcome::failed(format!("the command `{program}` cannot be started: {error}")),
    };
    let group = Group::of(child.id());
    let (stdin, mut stdout, mut stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let mut output = Output::default();
    let mut errors = Errors::new(format!("[{}] ", job.task_id));
    let progress = |percent, message: &str| context.progress(percent, message);

    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read its payload closes the pipe by ending: no failure.
            let _ = stdin.write_all(&job.payload).await;
        }
    };
    let listen = async {
        let mut buffer = vec![0; PIECE_BYTES];
        while let Some(piece) = next_piece(&mut stdout, &mut buffer).await {
            output.take(piece, progress);
        }
    };
    let hear = async {
        let mut buffer = vec![0; PIECE_BYTES];
        while let Some(piece) = next_piece(&mut stderr, &mut buffer).await {
            errors.take(piece, passed).await;
        }
    };
    let ended = {
        let talk = async { tokio::join!(feed, listen, hear) };
        tokio::pin!(talk);
        let end = wait(&mut child, &group, context);
        tokio::pin!(end);
        // All at once: a command that waits for a reader or a writer would wait for ever.
        let (ended, talked) = tokio::select! {
            ended = &mut end => (ended, false),
            _ = &mut talk => (end.await, true),
        };
        if !talked && timeout(DRAIN_TIMEOUT, &mut talk).await.is_err() {
            group.kill();
            // A process that left the group may hold the pipes for ever.
            let _ = timeout(DRAIN_TIMEOUT, &mut talk).await;
        }
        ended
    };
    group.finish().await;
    output.end(progress);
    errors.finish(passed).await;
    // To look through much output takes a moment.
    let output = tokio::task::spawn_blocking(move || output.result()).await;
    match (ended, output) {
        (Ok((status, stopped)), Ok(output)) => Ending { status, stopped, output, errors: errors.tail() }.into(),
        (Err(error), _) => Outcome::failed(format!("the end of the command is not known: {error}")),
        (_, Err(error)) => Outcome::failed(format!("the output of the command cannot be read: {error}")),
    }
}

fn command(program: &Program, job: &Job) -> Command {
    let mut command = Command::new(&program.path);
    command
        .args(&program.arguments)
        .env("TASKYARD_TASK_ID", job.task_id.to_string())
        .env("TASKYARD_RUN", job.run.to_string())
        .env("TASKYARD_ATTEMPT", job.attempt.saturating_add(1).to_string())
        .env("TASKYARD_QUEUE", &job.queue)
        .env("TASKYARD_KIND", &job.kind)
        .env("TASKYARD_TITLE", &job.title)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

type Ended = std::io::Result<(std::process::ExitStatus, Option<StopReason>)>;

/// Waits for the command's end, and brings it about if the run has to stop.
async fn wait(child: &mut Child, group: &Group, context: &Context) -> Ended {
    let reason = tokio::select! {
        status = child.wait() => return Ok((status?, None)),
        reason = context.stopped() => reason,
    };
    group.terminate();
    let deadline = Instant::now() + TERMINATE_GRACE;
    let status = tokio::time::timeout_at(deadline, child.wait()).await;
    // What the command started may need as long as the command itself.
    group.gone_by(deadline).await;
    group.kill();
    let status = match status {
        Ok(status) => status?,
        Err(_) => child.wait().await?,
    };
    Ok((status, Some(reason)))
}

/// What comes next from a pipe; none at its end, which a pipe that fails has reached, too.
async fn next_piece<'a>(pipe: &mut Option<impl AsyncRead + Unpin>, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let count = pipe.as_mut()?.read(buffer).await.ok()?;
    (count > 0).then_some(&buffer[..count])
}
