//! Relays committed events, in order, to the event stream.
//!
//! Batches are published one after the other, each with the stream's last sequence as it is expected. A new leader
//! publishes its term first, so that whatever an old one still wants to publish no longer fits.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use prost::Message;
use taskyard_bus::PublishedEvents;
use taskyard_core::Position;
use taskyard_proto::{
    convert::{position_from_bus, position_to_bus},
    internal::{EventBatch, EventRecord},
};
use taskyard_redis::Change;
use tokio::time::{Instant, timeout_at};

use super::{End, Term};
use crate::{
    fault::{self, FaultPoint},
    store::{
        epoch,
        events::{self, Event},
    },
    watch,
};

/// Events of one batch.
const BATCH_ROWS: i64 = 1_000;
/// An empty batch in quiet times, so that readers see a gap.
const BEACON_INTERVAL: Duration = Duration::from_secs(5);
/// Events within this time go into one batch.
const PAUSE: Duration = Duration::from_millis(10);
/// As long as Redis could not be told of a change, it is tried this often.
const CACHE_INTERVAL: Duration = Duration::from_secs(1);
/// While a transaction holds up the order, the database is asked this often.
const HELD_INTERVAL: Duration = Duration::from_millis(250);

/// Relays until the term ends.
pub async fn run(term: Arc<Term>) -> End {
    loop {
        let relayed = tokio::select! {
            relayed = ensure_and_relay(&term) => relayed,
            () = term.stop.cancelled() => return End::Stopped,
        };
        match relayed {
            Ok(end) => return end,
            // Dispatch does not wait for it; readers find in the database what they miss here.
            Err(error) => tracing::warn!(error = format!("{error:#}"), "events are not relayed"),
        }
        // What changes meanwhile is told to nobody, so nothing is kept for longer than this.
        term.app.cache.begin_epoch().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn ensure_and_relay(term: &Term) -> anyhow::Result<End> {
    // At the very first start it is not there yet; later it may be gone while that of work, which the dispatch loop
    // looks after, is there.
    term.app.bus.ensure_streams().await?;
    relay(term).await
}

async fn relay(term: &Term) -> anyhow::Result<End> {
    let app = &term.app;
    let last = app.bus.last_event_batch().await?;
    if last.batch.as_ref().is_some_and(|batch| batch.term > term.number) {
        return Ok(End::Fenced);
    }
    let mut sequence = last.sequence;
    let mut position = match last.batch.and_then(|batch| batch.last).map(position_from_bus) {
        Some(position) if epoch::epoch_has_position(&app.pool, position).await? => position,
        // The stream is new, or knows more than the database that was restored.
        _ => events::event_newest(&app.pool).await?,
    };
    // The fence.
    match publish(term, &mut sequence, position, position, Vec::new()).await? {
        PublishedEvents::At(_) => {}
        PublishedEvents::Mismatch => anyhow::bail!("the stream has moved"),
    }
    let mut beacon_at = Instant::now() + BEACON_INTERVAL;
    let mut held_since = None;
    // What the term before could not tell.
    let mut is_cache_behind = true;
    loop {
        let begun = Instant::now();
        if is_cache_behind {
            is_cache_behind = !app.cache.begin_epoch().await;
        }
        let page = events::event_list(&app.pool, position, None, BATCH_ROWS).await?;
        if !page.is_empty() {
            fault::reach(FaultPoint::EventsRead);
            term.events_relayed.fetch_add(page.len() as u64, Ordering::Relaxed);
            term.relayed.notify_one();
        }
        let is_full = page.len() as i64 == BATCH_ROWS;
        is_cache_behind |= !app.cache.outdate(&changes(&page)).await;
        let records: Vec<EventRecord> = page.into_iter().map(watch::to_record).collect();
        for batch in cut(records, app.bus.payload_bytes_max() / 2) {
            let Some(end) = batch.last().and_then(|event| event.position).map(position_from_bus) else { continue };
            let count = batch.len();
            if publish(term, &mut sequence, position, end, batch).await? == PublishedEvents::Mismatch {
                anyhow::bail!("the stream has moved");
            }
            fault::reach(FaultPoint::EventsPublished);
            app.metrics.relayed(count);
            position = end;
            beacon_at = Instant::now() + BEACON_INTERVAL;
        }
        if is_full {
            continue;
        }
        // What is committed and may not be told yet, because an older transaction is under way.
        let is_held = events::event_count_after(&app.pool, position, 1).await? > 0;
        note_holder(term, is_held, &mut held_since).await?;
        tokio::time::sleep_until(begun + PAUSE).await;
        if is_held {
            let held_for = held_since.map_or(Duration::ZERO, |since| since.elapsed());
            // What is held up is told to nobody for so long.
            is_cache_behind |= held_for >= CACHE_INTERVAL;
            tokio::time::sleep((held_for / 8).min(HELD_INTERVAL)).await;
        } else {
            let look_at = if is_cache_behind { beacon_at.min(begun + CACHE_INTERVAL) } else { beacon_at };
            if timeout_at(look_at, term.events.notified()).await.is_ok() {
                continue;
            }
        }
        if Instant::now() >= beacon_at {
            if publish(term, &mut sequence, position, position, Vec::new()).await? == PublishedEvents::Mismatch {
                anyhow::bail!("the stream has moved");
            }
            beacon_at = Instant::now() + BEACON_INTERVAL;
        }
    }
}

/// What gateways must not show any more.
fn changes(events: &[Event]) -> Vec<Change> {
    let change = |event: &Event| Change {
        namespace: event.namespace,
        id: Some(event.task),
        version: u32::try_from(event.version).ok(),
    };
    events.iter().map(change).collect()
}

async fn publish(
    term: &Term,
    sequence: &mut u64,
    previous: Position,
    last: Position,
    events: Vec<EventRecord>,
) -> anyhow::Result<PublishedEvents> {
    let batch = EventBatch {
        term: term.number,
        previous: Some(position_to_bus(previous)),
        last: Some(position_to_bus(last)),
        events,
    };
    let published = term.app.bus.publish_events(*sequence, &batch).await?;
    if let PublishedEvents::At(at) = published {
        *sequence = at;
    }
    Ok(published)
}

/// Cuts events into batches of at most so many bytes.
fn cut(records: Vec<EventRecord>, bytes_max: usize) -> Vec<Vec<EventRecord>> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut bytes = 0;
    for record in records {
        let size = record.encoded_len() + 8;
        if bytes + size > bytes_max && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += size;
        batch.push(record);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

/// Says who holds up the order, if it has been held up for a second.
async fn note_holder(term: &Term, is_held: bool, held_since: &mut Option<Instant>) -> anyhow::Result<()> {
    if !is_held {
        if held_since.take().is_some() {
            term.app.metrics.relay_lag(None);
        }
        return Ok(());
    }
    if held_since.get_or_insert_with(Instant::now).elapsed() < Duration::from_secs(1) {
        return Ok(());
    }
    if let Some(holder) = events::event_holder(&term.app.pool).await? {
        let name = format!("{} (pid {})", holder.application, holder.pid);
        tracing::debug!(holder = name, age_s = holder.age_s, "a transaction holds up the readers of events");
        term.app.metrics.relay_lag(Some((&name, holder.age_s)));
    }
    Ok(())
}
