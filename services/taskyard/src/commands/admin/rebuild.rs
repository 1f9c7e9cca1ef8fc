//! `taskyard admin rebuild`.

use std::process::ExitCode;

use anyhow::Context;
use indicatif::ProgressBar;
use serde::Serialize;
use taskyard_runtime::config::{PostgresArgs, Problems};
use taskyard_tasks::{Difference, Report};

use crate::{
    exit::Outcome,
    output::{Output, is_watched, note},
    progress,
};

/// Which database.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    postgres: PostgresArgs,
    /// Write the report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    tasks: u64,
    events: u64,
    not_rebuildable: u64,
    difference_count: u64,
    differences: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    namespace: i32,
    task: String,
    field: &'a str,
    replayed: Option<&'a str>,
    found: Option<&'a str>,
}

/// Replays the events and tells what differs: 1 if anything does.
pub async fn run(args: Args) -> Outcome {
    let mut problems = Problems::default();
    let postgres = args.postgres.require(&mut problems);
    let postgres = problems.finish(postgres)?;
    let bar = if is_watched() { progress::percent() } else { ProgressBar::hidden() };
    let told = |progress: taskyard_tasks::Progress| {
        bar.set_position(progress.events * 100 / progress.events_estimated.max(1));
        bar.set_message(format!("{} events", progress.events));
    };
    let report = taskyard_tasks::rebuild(postgres.url.expose(), told).await.context("the events were not replayed")?;
    bar.finish_and_clear();
    tell(&mut Output::new(args.json), &report)?;
    Ok(if report.difference_count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(output: &mut Output, report: &Report) -> anyhow::Result<()> {
    if output.is_json() {
        output.json(&document(report))?;
        return output.flush();
    }
    for difference in &report.differences {
        output.line(&difference.to_string())?;
    }
    output.flush()?;
    let untold = report.difference_count - report.differences.len() as u64;
    if untold > 0 {
        note(&format!("… and {untold} more"));
    }
    let kept = match report.not_rebuildable {
        0 => String::new(),
        count => format!(" ({count} of them only in part, after retention: these are not compared)"),
    };
    let outcome = match report.difference_count {
        0 => "no difference".to_owned(),
        1 => "1 difference".to_owned(),
        count => format!("{count} differences"),
    };
    note(&format!("{} events of {} tasks replayed{kept}: {outcome}", report.events, report.tasks));
    Ok(())
}

fn document(report: &Report) -> Document<'_> {
    Document {
        tasks: report.tasks,
        events: report.events,
        not_rebuildable: report.not_rebuildable,
        difference_count: report.difference_count,
        differences: report.differences.iter().map(line).collect(),
    }
}

fn line(difference: &Difference) -> Line<'_> {
    Line {
        namespace: difference.namespace,
        task: difference.id.to_string(),
        field: &difference.field,
        replayed: difference.replayed.as_deref(),
        found: difference.found.as_deref(),
    }
}
