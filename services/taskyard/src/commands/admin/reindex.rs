//! `taskyard admin reindex`.

use std::process::ExitCode;

use anyhow::Context;
use indicatif::ProgressBar;
use taskyard_runtime::config::{PostgresArgs, Problems};
use taskyard_tasks::ReindexProgress;

use crate::{
    exit::Outcome,
    output::{is_watched, note},
    progress,
};

/// Which database.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    postgres: PostgresArgs,
}

/// Makes the index anew.
pub async fn run(args: Args) -> Outcome {
    let mut problems = Problems::default();
    let postgres = args.postgres.require(&mut problems);
    let postgres = problems.finish(postgres)?;
    let bar = if is_watched() { progress::percent() } else { ProgressBar::hidden() };
    let told = |progress: ReindexProgress| {
        bar.set_position(progress.tasks * 100 / progress.tasks_estimated.max(1));
        bar.set_message(format!("{} tasks", progress.tasks));
    };
    let tasks = taskyard_tasks::reindex(postgres.url.expose(), told).await.context("the index was not made anew")?;
    bar.finish_and_clear();
    note(&format!("{tasks} tasks are indexed anew"));
    Ok(ExitCode::SUCCESS)
}
