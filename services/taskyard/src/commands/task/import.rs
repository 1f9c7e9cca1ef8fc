//! `taskyard task import`: tasks from JSON lines, any number of them.
//!
//! A thread reads and checks the lines, a few batches are on their way to the server at once, and memory stays bounded
//! however long the input is. Each line has an idempotency key, so that an import can be repeated: what an earlier one
//! has created is recognised. A bad line is told with its number and hinders no other.

mod batch;
mod line;
mod lines;
mod report;
mod send;

use std::{
    fs::File,
    io::{self, BufReader, IsTerminal, Read},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use futures::{StreamExt, stream};
use indicatif::ProgressBar;
use tokio::{sync::mpsc, task::JoinHandle};

use self::{batch::Batch, line::Defaults, report::Report};
use crate::{
    exit::Outcome,
    output::{is_watched, note},
    progress,
    server::ServerArgs,
};

/// Batches on their way at once: the server commits one while it reads the next.
const IN_FLIGHT: usize = 4;
/// Batches that are read ahead.
const AHEAD: usize = 1;
const READ_BYTES: usize = 256 * 1024;

/// What to import.
#[derive(clap::Args, Debug)]
#[command(after_help = "Each line is a task: a JSON object with the fields of REST (docs/rest.md), such as\n  \
    {\"kind\": \"http\", \"queue\": \"mail\", \"title\": \"Welcome\", \"payload\": {\"url\": \"https://example.com\"}}\n\
    It can be repeated: what the same lines have created in the last 24 hours is recognised.")]
pub struct Args {
    /// A file of JSON lines; - for standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// The queue of lines that name none
    #[arg(long, default_value = "", hide_default_value = true, value_name = "QUEUE")]
    queue: String,
    /// The kind of lines that name none
    #[arg(long, default_value = "", hide_default_value = true, value_name = "KIND")]
    kind: String,
}

/// Imports. It is a failure if any line is bad.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let client = server.connect().await?;
    let defaults = Defaults { queue: args.queue, kind: args.kind };
    let (input, bar) = open(&args.file)?;
    let (batches, reading) = read(bar.wrap_read(input), defaults);
    let mut report = Report::new(server.output(), bar);

    let client = &client;
    let mut answers = stream::poll_fn({
        let mut batches = batches;
        move |context| batches.poll_recv(context)
    })
    .map(|Batch { tasks, bad, .. }| async move { (bad, send::send(client, tasks).await) })
    .buffer_unordered(IN_FLIGHT);
    let mut sent = Ok(());
    while let Some((bad, answer)) = answers.next().await {
        report.bad_lines(&bad)?;
        match answer {
            Ok(answer) => report.answer(&answer)?,
            Err(error) => {
                sent = Err(error);
                break;
            }
        }
    }
    // Dropping the rest ends the reader, which may wait for room.
    drop(answers);
    let imported = report.finish()?;
    sent.context("the import stopped; run it again to go on, what is there is recognised")?;
    reading.await.context("the reader failed")?.with_context(|| format!("cannot read {}", args.file.display()))?;
    Ok(if imported.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn open(path: &PathBuf) -> Result<(Box<dyn Read + Send>, ProgressBar)> {
    if path.as_os_str() == "-" {
        if io::stdin().is_terminal() {
            note("(reading standard input; Ctrl-D ends it)");
        }
        let bar = if is_watched() { progress::spinner() } else { ProgressBar::hidden() };
        return Ok((Box::new(io::stdin()), bar));
    }
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    // A pipe has no length.
    let bar = match file.metadata().map(|metadata| metadata.len()) {
        _ if !is_watched() => ProgressBar::hidden(),
        Ok(bytes) if bytes > 0 => progress::bytes(bytes),
        _ => progress::spinner(),
    };
    Ok((Box::new(file), bar))
}

/// Reads on a thread of its own, for a disk or a person may be slow.
fn read(input: impl Read + Send + 'static, defaults: Defaults) -> (mpsc::Receiver<Batch>, JoinHandle<io::Result<()>>) {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let input = BufReader::with_capacity(READ_BYTES, input);
    let reading = tokio::task::spawn_blocking(move || batch::read(input, &defaults, &sender));
    (receiver, reading)
}
