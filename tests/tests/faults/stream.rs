//! The stream of relayed events: an unbroken chain that holds each event once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, consumer::pull::OrderedConfig};
use futures::StreamExt;
use prost::Message;
use taskyard_bus::Names;
use taskyard_core::Position;
use taskyard_proto::{convert::position_from_bus, internal::EventBatch};
use taskyard_testkit::{connect_nats, eventually};
use taskyard_tests::{History, Stack};

/// Waits until everything is relayed, and says what is wrong with it.
pub async fn faults(stack: &Stack, within: Duration) -> Result<Vec<String>> {
    let history = History::read(&stack.pool).await?;
    let positions = history.positions();
    let newest = positions.last().copied().context("nothing happened")?;
    let batches = eventually(within, format!("{newest} is relayed"), async || {
        read(stack).await.ok().filter(|batches| batches.last().is_some_and(|batch| last_of(batch) >= newest))
    })
    .await?;
    let mut faults = Vec::new();
    let mut relayed: Vec<Position> = Vec::new();
    let mut end = previous_of(batches.first().context("no batch")?);
    let begin = end;
    let mut term = 0;
    for batch in &batches {
        if batch.term < term {
            faults.push(format!("a batch of term {} behind one of term {term}", batch.term));
        }
        if previous_of(batch) != end {
            faults.push(format!("a batch goes on from {}, not from {end}", previous_of(batch)));
        }
        (term, end) = (batch.term, last_of(batch));
        relayed.extend(batch.events.iter().filter_map(|event| event.position).map(position_from_bus));
        if relayed.last().is_some_and(|last| *last > end) {
            faults.push(format!("an event behind the last position {end} of its batch"));
        }
    }
    if !relayed.is_sorted_by(|a, b| a < b) {
        faults.push("events out of order, or twice".to_owned());
    }
    let expected: Vec<Position> = positions.into_iter().filter(|position| *position > begin).collect();
    relayed.retain(|position| *position <= newest);
    if relayed != expected {
        let missing = expected.iter().filter(|position| !relayed.contains(position)).count();
        faults.push(format!(
            "{} events were relayed, {} have happened, {missing} are missing",
            relayed.len(),
            expected.len()
        ));
    }
    Ok(faults)
}

/// The newest position that was relayed.
pub async fn newest(stack: &Stack) -> Result<Position> {
    let client = connect_nats(stack.sandbox.nats_url()).await?;
    let names = Names::new(stack.sandbox.prefix());
    let stream = jetstream::new(client).get_stream(names.events_stream()).await?;
    let message = stream.get_last_raw_message_by_subject(&names.events()).await?;
    Ok(last_of(&EventBatch::decode(message.payload)?))
}

fn last_of(batch: &EventBatch) -> Position {
    batch.last.map(position_from_bus).unwrap_or_default()
}

fn previous_of(batch: &EventBatch) -> Position {
    batch.previous.map(position_from_bus).unwrap_or_default()
}

async fn read(stack: &Stack) -> Result<Vec<EventBatch>> {
    let client = connect_nats(stack.sandbox.nats_url()).await?;
    let stream = jetstream::new(client).get_stream(Names::new(stack.sandbox.prefix()).events_stream()).await?;
    let expected = stream.cached_info().state.messages;
    ensure!(stream.cached_info().state.first_sequence <= 1, "the stream has forgotten some");
    let mut messages = stream.create_consumer(OrderedConfig::default()).await?.messages().await?;
    let mut batches = Vec::new();
    while (batches.len() as u64) < expected {
        let message = messages.next().await.context("the stream has ended")??;
        batches.push(EventBatch::decode(message.payload.clone())?);
    }
    Ok(batches)
}
