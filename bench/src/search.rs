//! Full-text search over many tasks, and what its index costs those that run.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use taskyard_client::Client;
use taskyard_proto::v1::SearchTasksRequest;
use tokio::task::JoinSet;

use crate::{
    fleet::{Fleet, Servers},
    throughput,
};

const CHUNK: u64 = 20_000;

/// How long searches took.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    count: usize,
    hits: usize,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "median {:.1} ms, p99 {:.1} ms, max {:.1} ms of {}; {:.1} hits a page",
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.count,
            self.hits as f64 / self.count as f64
        )
    }
}

/// Makes finished tasks with 6 words in the title, 15 in the description and two labels: of 20,000 words, some common
/// and most rare.
pub async fn fill(servers: &Servers, tasks: u64) -> Result<()> {
    let bar = ProgressBar::new(tasks).with_style(ProgressStyle::with_template("tasks {wide_bar} {pos}/{len} {eta}")?);
    let mut done = 0;
    while done < tasks {
        let rows = CHUNK.min(tasks - done);
        sqlx::query(
            "with new as materialized (
                select uuidv7(interval '-1 millisecond' * (500 * ($2 - n))) as id, n from generate_series($1 + 1, $1 + $3) n
            ), text as materialized (
                select
                    id, n,
                    (
                        select string_agg(translate(left(md5(k::text), 4 + k % 6), '0123456789', 'ghijklmnop'), ' ')
                        from (
                            select floor(20000 * power(random(), 3))::int as k from generate_series(1, (6 + 0 * n)::int)
                        ) word
                    ) as title,
                    (
                        select string_agg(translate(left(md5(k::text), 4 + k % 6), '0123456789', 'ghijklmnop'), ' ')
                        from (
                            select floor(20000 * power(random(), 3))::int as k from generate_series(1, (15 + 0 * n)::int)
                        ) word
                    ) as description
                from new
            ), document as (
                insert into tasks.documents (namespace, id, created_at, timeout_ms, backoff_ms, backoff_max_ms,
                    attempts_max, fingerprint, queue, kind, creator, title, description, labels, payload)
                select 1, id, uuid_extract_timestamp(id), 3600000, 1000, 3600000, 10, id, 'default', 'noop', '',
                    title, description,
                    jsonb_build_object('team', 'team' || n % 20, 'tier', (array['gold', 'silver', 'iron'])[1 + n % 3]), '{}'
                from text
            )
            insert into tasks.finished (namespace, id, xact, due_at, started_at, finished_at, version, run,
                payload_bytes, state, priority, attempt, queue, kind, result)
            select 1, id, 1, uuid_extract_timestamp(id), uuid_extract_timestamp(id), uuid_extract_timestamp(id), 3,
                1, 2, 5, 5, 0, 'default', 'noop', 'null'
            from new",
        )
        .bind(i64::try_from(done)?)
        .bind(i64::try_from(tasks)?)
        .bind(i64::try_from(rows)?)
        .execute(&servers.pool)
        .await?;
        done += rows;
        bar.set_position(done);
    }
    bar.finish_and_clear();
    sqlx::raw_sql("vacuum analyze tasks.documents, tasks.finished").execute(&servers.pool).await?;
    Ok(())
}

/// Waits until the index has all, and returns how long that took.
pub async fn catch_up(servers: &Servers) -> Result<Duration> {
    let begun = Instant::now();
    let sql = "
        select
            is_whole and fill_namespace is null
            and coalesce(
                (epoch, xact, seq) >= (
                    select epoch, xact, seq from tasks.events order by epoch desc, xact desc, seq desc limit 1
                ),
                true
            )
        from tasks.search_reader";
    while !sqlx::query_scalar::<_, bool>(sql).fetch_one(&servers.pool).await? {
        tokio::time::sleep(Duration::from_millis(200)).await;
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(3_600), "the index is not filled after an hour");
    }
    Ok(begun.elapsed())
}

/// Searches for three words of tasks that are there, by so many callers at once. The last one is taken for a beginning.
pub async fn three_words(servers: &Servers, fleet: &Fleet, queries: usize, callers: usize) -> Result<Times> {
    let texts: Vec<String> = sqlx::query_scalar(
        "select title || ' ' || description from tasks.documents tablesample system (5) where title <> '' limit 5000",
    )
    .fetch_all(&servers.pool)
    .await?;
    let mut running: JoinSet<Result<Vec<(f64, usize)>>> = JoinSet::new();
    for caller in 0..callers {
        let client = Client::new(fleet.pods()?);
        let texts = texts.clone();
        running.spawn(async move {
            let mut random = StdRng::seed_from_u64(caller as u64);
            let mut times = Vec::new();
            for _ in 0..queries / callers {
                let query = any_three(&mut random, &texts).context("no texts")?;
                let begun = Instant::now();
                let found = client.search_tasks(SearchTasksRequest { query, ..Default::default() }).await?;
                times.push((begun.elapsed().as_secs_f64() * 1e3, found.hits.len()));
            }
            Ok(times)
        });
    }
    let mut all = Vec::new();
    while let Some(times) = running.join_next().await {
        all.extend(times??);
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at = |part: f64| all.get(((all.len() as f64 * part) as usize).min(all.len() - 1)).map_or(f64::NAN, |one| one.0);
    Ok(Times {
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        max_ms: at(1.0),
        count: all.len(),
        hits: all.iter().map(|one| one.1).sum(),
    })
}

fn any_three(random: &mut StdRng, texts: &[String]) -> Option<String> {
    let words: Vec<&str> = texts.choose(random)?.split(' ').collect();
    let mut word = || words[random.random_range(0..words.len())];
    Some([word(), word(), word()].join(" "))
}

/// Whole lives a second with and without the index's reader, in turns, and how long the index takes to catch up.
pub async fn cost(servers: &Servers, tasks: usize, repeats: usize) -> Result<(f64, f64, Duration)> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let mut behind = Duration::ZERO;
    for _ in 0..repeats {
        // At the end of all positions there is nothing to be read.
        let place: (i32, i64, i64) = sqlx::query_as(
            "update tasks.search_reader set xact = 9000000000000000000 returning epoch, (select xact from tasks.search_reader), seq",
        )
        .fetch_one(&servers.pool)
        .await?;
        let fleet = Fleet::start(servers, 2, 2).await?;
        without.push(throughput::run(servers, &fleet, tasks, 1).await?.rate);
        fleet.stop().await?;
        sqlx::query("update tasks.search_reader set epoch = $1, xact = $2, seq = $3")
            .bind(place.0)
            .bind(place.1)
            .bind(place.2)
            .execute(&servers.pool)
            .await?;
        // The reader begins with the tasks of the run without it, so it is behind all the time.
        let fleet = Fleet::start(servers, 2, 2).await?;
        with.push(throughput::run(servers, &fleet, tasks, 1).await?.rate);
        behind = catch_up(servers).await?;
        fleet.stop().await?;
    }
    let median = |mut rates: Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Ok((median(with), median(without), behind))
}
