//! What is not Postgres is emptied or taken away under load: JetStream's streams, Redis, NATS with its store.

use std::time::Duration;

use anyhow::Result;
use async_nats::jetstream;
use taskyard_testkit::{connect_nats, eventually};
use taskyard_tests::{Listener, Load, LoadOptions, Stack, Told};

use super::{ALLOWANCE, SETTLED, leader, none, pods, sleep_s, urls};

/// After the load: everything accepted ended as planned, no session was closed, and a watcher missed nothing.
pub(super) async fn all_is_well(stack: &Stack, mut load: Load, listener: &Listener) -> Result<Told> {
    load.settle(SETTLED).await?;
    load.fill_slots("default", SETTLED).await?;
    assert_eq!(stack.number("select count(*) from tasks.sessions where not is_open").await?, 0, "sessions expired");
    let told = load.tell().await?;
    none("after the load", told.faults())?;
    let reasons = told.history.reasons();
    println!("{} tasks, {} events, returns: {reasons:?}", told.accepted.len(), told.history.events.len());
    for unwanted in ["expired", "timeout", "repaired"] {
        assert!(!reasons.contains_key(unwanted), "{reasons:?}");
    }
    let positions = told.history.positions();
    let last = *positions.last().expect("events");
    let heard = listener.reaches(last, ALLOWANCE).await?;
    assert_eq!(heard.positions, positions, "the watch missed events, told them twice or out of order");
    assert!(heard.resets.is_empty(), "{:?}", heard.resets);
    Ok(told)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_streams_are_deleted_under_load() -> Result<()> {
    let stack = Stack::shared().await?;
    let pods = pods(&stack, 2).await?;
    let listener = Listener::open(&urls(&pods), None).await?;
    let load = Load::start(&stack.pool, LoadOptions::roaming(&urls(&pods)))?;
    load.goes_on(50, ALLOWANCE).await?;
    let nats = jetstream::new(connect_nats(stack.sandbox.nats_url()).await?);
    let prefix = stack.sandbox.prefix().to_uppercase();
    let (work, events) = (format!("{prefix}_WORK"), format!("{prefix}_EVENTS"));
    for streams in [vec![&work, &events], vec![&events], vec![&work]] {
        for stream in &streams {
            nats.delete_stream(stream).await?;
        }
        load.goes_on(100, ALLOWANCE * 2).await?;
        for stream in &streams {
            eventually(ALLOWANCE, format!("{stream} is there again"), async || nats.get_stream(stream).await.ok())
                .await?;
        }
    }
    all_is_well(&stack, load, &listener).await?;
    stack.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_flushed_and_then_stopped_under_load() -> Result<()> {
    let (servers, stack) = Stack::private().await?;
    let pods = pods(&stack, 2).await?;
    let listener = Listener::open(&urls(&pods), None).await?;
    let load = Load::start(&stack.pool, LoadOptions::roaming(&urls(&pods)))?;
    load.goes_on(50, ALLOWANCE).await?;
    flush_redis(servers.redis_url()).await?;
    load.goes_on(50, ALLOWANCE).await?;

    let led = leader(&pods, ALLOWANCE).await?;
    let term = pods[led].term();
    servers.redis()?.stop().await?;
    // A minute: longer than the lock lives and than a row must be abandoned for another to take over, 10 s.
    for _ in 0..15 {
        sleep_s(4).await;
        load.goes_on(20, ALLOWANCE).await?;
        assert_eq!(pods[led].term(), term, "whoever leads goes on leading without Redis");
    }
    servers.redis()?.start().await?;
    load.goes_on(50, ALLOWANCE * 2).await?;
    all_is_well(&stack, load, &listener).await?;
    stack.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_comes_back_with_an_empty_store() -> Result<()> {
    let (servers, stack) = Stack::private().await?;
    let pods = pods(&stack, 2).await?;
    let listener = Listener::open(&urls(&pods), None).await?;
    let load = Load::start(&stack.pool, LoadOptions::roaming(&urls(&pods)))?;
    load.goes_on(50, ALLOWANCE).await?;
    for away in [0, 5] {
        servers.nats()?.stop().await?;
        sleep_s(away).await;
        servers.nats()?.wipe_and_start().await?;
        load.goes_on(100, ALLOWANCE * 3).await?;
    }
    all_is_well(&stack, load, &listener).await?;
    stack.close().await
}

async fn flush_redis(url: &str) -> Result<()> {
    use fred::prelude::{Client, ClientLike, Config};
    let client = Client::new(Config::from_url(url)?, None, None, None);
    client.init().await?;
    tokio::time::timeout(Duration::from_secs(5), client.flushall::<()>(false)).await??;
    Ok(client.quit().await?)
}
