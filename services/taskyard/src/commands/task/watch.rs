//! `taskyard task watch`.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use taskyard_client::{Watch, WatchMessage, v1};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    exit::Outcome,
    json,
    output::{Output, note},
    server::ServerArgs,
    text,
};

/// After this long without a first message, who waits is told why.
const OPEN_WITHIN: Duration = Duration::from_secs(5);

/// What to follow.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only this task
    #[arg(default_value = "", hide_default_value = true)]
    id: String,
    /// Only this queue
    #[arg(long, default_value = "", hide_default_value = true, value_name = "QUEUE")]
    queue: String,
    /// Go on after this position, without gap or double; from now on if not given
    #[arg(long, default_value = "", hide_default_value = true, value_name = "POSITION")]
    from: String,
    /// Also show how far running tasks have come
    #[arg(long)]
    progress: bool,
}

/// Follows until Ctrl-C, over restarts of the server.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let client = server.connect().await?;
    let mut output = server.output();
    let request =
        v1::WatchTasksRequest { position: args.from, task_id: args.id, queue: args.queue, progress: args.progress };
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut watch = client.watch(request);
    let ended = tokio::select! {
        ended = follow(&mut watch, &mut output) => ended.map(|()| ExitCode::SUCCESS),
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
    };
    if ended.is_ok() && !output.is_json() && !watch.position().is_empty() {
        note(&format!("(go on from here: --from {})", watch.position()));
    }
    ended
}

async fn follow(watch: &mut Watch, output: &mut Output) -> Result<()> {
    let mut first = match tokio::time::timeout(OPEN_WITHIN, watch.next()).await {
        Ok(first) => Some(first?),
        Err(_) => {
            note("(waiting for the server…)");
            None
        }
    };
    loop {
        let message = match first.take() {
            Some(message) => message,
            None => watch.next().await?,
        };
        if output.is_json() {
            show_json(message, output)?;
        } else {
            show(message, output)?;
        }
        // Somebody watches it.
        output.flush()?;
    }
}

fn show_json(message: WatchMessage, output: &mut Output) -> Result<()> {
    match message {
        WatchMessage::Opened { position } => output.json(&json::Mark::Opened { position }),
        WatchMessage::Event(event) => output.json(&json::Event::from(*event)),
        WatchMessage::Progress(told) => output.json(&json::Mark::from(told)),
        WatchMessage::Reset { position } => output.json(&json::Mark::Reset { position }),
    }
}

fn show(message: WatchMessage, output: &mut Output) -> Result<()> {
    match message {
        WatchMessage::Opened { .. } => note("(watching; Ctrl-C ends it)"),
        WatchMessage::Event(event) => output.line(&text::event(&event))?,
        WatchMessage::Progress(told) => output.line(&text::progress(&told))?,
        WatchMessage::Reset { .. } => {
            note("(a gap: the position is too old; `task list` shows how things stand, what follows is new)");
        }
    }
    Ok(())
}
