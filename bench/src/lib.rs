//! What Taskyard does on this machine, measured against a baseline in the same run: `taskyard bench`.
//!
//! All servers are private and real, durable settings on; two tasks pods and two workers are processes of their own, as
//! in production. Every figure is one run's; ratios are what to compare.

mod baseline;
mod calls;
mod cost;
mod fleet;
mod gateway;
mod history;
mod idle;
mod latency;
mod load;
mod options;
mod search;
mod soak;
mod throughput;

pub use options::{Options, Part};

use anyhow::{Result, bail};

use crate::fleet::{Fleet, Servers};

/// Runs the benchmarks and prints a table.
///
/// # Errors
/// If the servers or processes cannot be started, a run loses a task, or it is interrupted.
pub async fn run(options: Options) -> Result<()> {
    // Whatever it started ends with it.
    let stop = taskyard_runtime::shutdown::on_signal()?;
    stop.run_until_cancelled(measure(options)).await.unwrap_or_else(|| bail!("interrupted"))
}

async fn measure(options: Options) -> Result<()> {
    println!("Taskyard bench: {} tasks a run, {} cores", options.tasks, cores());
    if cfg!(debug_assertions) {
        println!("This is a debug build: its figures say nothing.");
    }
    if options.wants(Part::Throughput) {
        for (name, settings) in [
            ("durable, this machine's disk", Vec::new()),
            ("a slower disk (commit_delay=1000, commit_siblings=0)", slower_disk()),
        ] {
            println!("\n## Whole life of no-op tasks: {name}\n");
            whole_lives(&options, settings).await?;
        }
    }
    if options.wants(Part::Latency) {
        println!("\n## Create to start at {} tasks/s\n", options.latency_rate);
        create_to_start(&options).await?;
    }
    if options.wants(Part::Soak) {
        println!(
            "\n## {} s at full rate, with and without a reader that holds a REPEATABLE READ snapshot\n",
            options.soak_s
        );
        long_run(&options).await?;
    }
    if options.wants(Part::Search) {
        println!("\n## Full-text search over {} tasks\n", options.search_tasks);
        full_text(&options).await?;
    }
    if options.wants(Part::Gateway) {
        println!("\n## The gateway: 64 readers, 256 writers, each with a connection\n");
        let servers = Servers::start(Vec::new()).await?;
        println!("{}", gateway::run(&servers, options.gateway_time(), options.tasks).await?);
        servers.stop().await?;
    }
    if options.wants(Part::Idle) {
        println!("\n## Idle\n");
        println!("{}", idle::run(options.idle_time()).await?);
    }
    Ok(())
}

/// In rounds, each with its own baseline: a machine that is shared is not the same from minute to minute.
async fn whole_lives(options: &Options, settings: Vec<(String, String)>) -> Result<()> {
    let servers = Servers::start(settings).await?;
    let ways = [("single creates, 256 callers", 1), ("batches of 500, 8 callers", 500)];
    let (mut baselines, mut lives) = (Vec::new(), [Vec::new(), Vec::new()]);
    for _ in 0..options.repeats {
        let baseline = baseline::run(&servers, options.tasks.min(50_000)).await?;
        for ((_, batch), lives) in ways.into_iter().zip(&mut lives) {
            let fleet = Fleet::start(&servers, 2, 2).await?;
            servers.forget_statements().await?;
            let run = throughput::run(&servers, &fleet, options.tasks, batch).await?;
            if options.profile {
                servers.print_statements(options.tasks).await?;
            }
            fleet.stop().await?;
            lives.push((run.rate / baseline.rate, run));
        }
        baselines.push(baseline);
    }
    let baseline = median(baselines, |baseline| baseline.rate);
    println!(
        "{:<34} {:>9.0} tasks/s   1.0   Postgres {:.0} µs a task",
        "baseline (16 connections)", baseline.rate, baseline.postgres_us
    );
    for ((title, _), runs) in ways.into_iter().zip(lives) {
        let ratios: Vec<String> = runs.iter().map(|(ratio, _)| format!("{ratio:.1}")).collect();
        let (ratio, run) = median(runs, |(ratio, _)| *ratio);
        println!("{title:<34} {:>9.0} tasks/s {ratio:>5.1}   {} ({})", run.rate, run.cost, ratios.join(", "));
    }
    servers.stop().await
}

fn median<T>(mut values: Vec<T>, by: impl Fn(&T) -> f64) -> T {
    values.sort_by(|a, b| by(a).total_cmp(&by(b)));
    values.swap_remove(values.len() / 2)
}

async fn create_to_start(options: &Options) -> Result<()> {
    let servers = Servers::start(Vec::new()).await?;
    let fleet = Fleet::start(&servers, 2, 0).await?;
    // The median run: one alone is at the mercy of what else the machine does.
    let measure = async || {
        let mut runs = Vec::new();
        for _ in 0..options.repeats {
            servers.forget_statements().await?;
            let latency = latency::run(&fleet, options.latency_rate, options.latency_time()).await?;
            if options.profile {
                servers.print_statements(latency.count).await?;
                servers.print_segments().await?;
            }
            runs.push(latency);
        }
        anyhow::Ok(median(runs, |run| run.p50_ms))
    };
    let empty = measure().await?;
    println!("{:<34} {empty}", "empty database");
    if options.history > 0 {
        let rate = throughput::run_with_workers(&servers, &fleet, options.tasks).await?;
        history::fill(&servers, options.history).await?;
        let full = measure().await?;
        println!(
            "{:<34} {full}   {:.2} of empty (median)",
            format!("{} finished tasks", options.history),
            full.p50_ms / empty.p50_ms
        );
        let full_rate = throughput::run_with_workers(&servers, &fleet, options.tasks).await?;
        println!(
            "throughput with that history       {full_rate:.0} tasks/s, {:.2} of empty ({rate:.0})",
            full_rate / rate
        );
    }
    fleet.stop().await?;
    servers.stop().await
}

async fn long_run(options: &Options) -> Result<()> {
    let servers = Servers::start(Vec::new()).await?;
    for (title, held) in [("no snapshot", false), ("snapshot held", true)] {
        let fleet = Fleet::start(&servers, 2, 0).await?;
        servers.forget_statements().await?;
        let soak = soak::run(&servers, &fleet, options.soak(), held).await?;
        println!("{title:<34} {soak}");
        if options.profile {
            servers.print_statements(soak.created).await?;
        }
        fleet.stop().await?;
    }
    servers.stop().await
}

async fn full_text(options: &Options) -> Result<()> {
    let servers = Servers::start(Vec::new()).await?;
    // Migrates.
    Fleet::start(&servers, 1, 0).await?.stop().await?;
    search::fill(&servers, options.search_tasks).await?;
    sqlx::raw_sql(
        "update tasks.search_reader set fill = fill + 1, is_whole = false, filled = 0, fill_namespace = -2147483648, \
            fill_id = '00000000-0000-0000-0000-000000000000'",
    )
    .execute(&servers.pool)
    .await?;
    let fleet = Fleet::start(&servers, 2, 0).await?;
    let took = search::catch_up(&servers).await?;
    println!(
        "{:<34} {:.1} s, {:.0} tasks/s",
        "the index is filled in",
        took.as_secs_f64(),
        options.search_tasks as f64 / took.as_secs_f64()
    );
    for callers in [1, 4] {
        let times = search::three_words(&servers, &fleet, options.search_queries, callers).await?;
        println!("{:<34} {times}", format!("three words, {callers} at once"));
    }
    fleet.stop().await?;
    let (with, without, behind) = search::cost(&servers, options.tasks, options.repeats).await?;
    println!(
        "{:<34} {with:.0} tasks/s with, {without:.0} without the index: {:.3}; it caught up {:.1} s later",
        "whole lives",
        with / without,
        behind.as_secs_f64()
    );
    servers.stop().await
}

fn slower_disk() -> Vec<(String, String)> {
    vec![("commit_delay".into(), "1000".into()), ("commit_siblings".into(), "0".into())]
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
