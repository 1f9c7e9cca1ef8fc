//! Retention: drops whole partitions, forgets expired keys, used tokens, closed sessions and old ticks.

use std::{sync::Arc, time::Duration};

use chrono::{Days, Utc};
use taskyard_core::{limits, task::Namespace};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{End, Term};
use crate::store::{
    keys, namespaces, partitions,
    retention::{self, KeepFrom},
    sessions, ticks, users,
};

const INTERVAL: Duration = Duration::from_secs(600);
/// Rows of one statement.
const CHUNK: i64 = 5_000;
/// Schedules of one statement.
const SCHEDULES_CHUNK: i64 = 100;
/// Words that are looked at each time: each is looked for in the search index.
const WORDS: i64 = 500;

/// Keeps house every ten minutes until the term ends.
pub async fn run(term: Arc<Term>) -> End {
    let mut tick = interval_at(Instant::now() + Duration::from_secs(30), INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut word = FIRST_WORD;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = term.stop.cancelled() => return End::Stopped,
        }
        if let Err(error) = keep_house(&term).await {
            tracing::warn!(%error, "housekeeping was not finished");
        }
        match forget_words(&term, word).await {
            Ok(next) => word = next,
            Err(error) => {
                tracing::warn!(%error, "unused words were not forgotten");
                word = FIRST_WORD;
            }
        }
    }
}

const FIRST_WORD: (Namespace, String) = (Namespace::MIN, String::new());

/// Words of tasks that are no more leave the dictionary. Some each time, until it begins anew.
async fn forget_words(term: &Term, (namespace, word): (Namespace, String)) -> Result<(Namespace, String), sqlx::Error> {
    let pool = &term.app.pool;
    let (unused, next) = retention::search_word_list_unused(pool, (namespace, &word), WORDS).await?;
    if !unused.is_empty() {
        retention::search_word_delete(pool, &unused).await?;
    }
    Ok(next.unwrap_or(FIRST_WORD))
}

async fn keep_house(term: &Term) -> Result<(), sqlx::Error> {
    let app = &term.app;
    sessions::session_delete_closed(&app.pool).await?;
    users::sign_in_forget_old(&app.pool).await?;
    while users::refresh_token_forget_old(&app.pool, CHUNK).await? == CHUNK as u64 {}
    keys::key_forget_old(&app.pool).await?;
    namespaces::invitation_forget_old(&app.pool).await?;
    while retention::idempotency_key_delete_expired(&app.pool, CHUNK).await? == CHUNK as u64 {}
    let mut after = Some(0);
    while let Some(schedule) = after {
        after = ticks::tick_delete_old(&app.pool, schedule, SCHEDULES_CHUNK, limits::TICKS_KEPT).await?;
    }
    ticks::tick_delete_orphaned(&app.pool).await?;
    drop_partitions(term).await
}

/// Lets go of what was kept long enough, week by week.
async fn drop_partitions(term: &Term) -> Result<(), sqlx::Error> {
    let Term { app, stop, .. } = term;
    let long_ago = |days: u32| Utc::now() - Days::new(days.into());
    let keep_from =
        KeepFrom { finished: long_ago(app.settings.retention_days), dead: long_ago(app.settings.dead_retention_days) };
    let mut connection = app.pool.acquire().await?;
    partitions::partition_drop_detached(&mut connection, keep_from.finished).await?;
    let partitions = partitions::partition_list(&mut *connection).await?;
    for partition in partitions.iter().filter(|partition| partition.ends_at() < keep_from.finished) {
        if stop.is_cancelled() {
            break;
        }
        if retention::partition_is_pinned(&app.pool, partition, keep_from).await? {
            while retention::partition_empty(&app.pool, partition, keep_from, CHUNK).await? == CHUNK as u64 {}
            continue;
        }
        tracing::info!(partition = partition.name(), "a partition is dropped: retention has passed");
        partitions::partition_drop(&mut connection, partition).await?;
    }
    Ok(())
}
