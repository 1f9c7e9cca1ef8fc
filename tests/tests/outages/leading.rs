//! Who leads without Redis, and that nobody asks for that.

use std::time::Duration;

use anyhow::{Result, ensure};
use taskyard_testkit::eventually;
use taskyard_tests::{History, Load, LoadOptions, Stack};
use tokio::time::Instant;

use super::{ALLOWANCE, SETTLED, leader, none, pods, urls};

/// A leader's row is abandoned when it has not been renewed for so long, and candidates look every 3 s.
const ABANDONED: Duration = Duration::from_secs(10 + 3);

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_stopped_for_good_and_the_leader_is_killed() -> Result<()> {
    let (servers, stack) = Stack::private().await?;
    let mut pods = pods(&stack, 3).await?;
    let led = leader(&pods, ALLOWANCE).await?;
    let term = pods[led].term();
    // By way of the two that stay, with a worker that is free to go to any of the three.
    let stay: Vec<String> =
        pods.iter().enumerate().filter(|(place, _)| *place != led).map(|(_, pod)| pod.url()).collect();
    let all = urls(&pods);
    let mut load =
        Load::start(&stack.pool, LoadOptions { workers: vec![all.clone(), all], ..LoadOptions::new(&stay) })?;
    load.goes_on(20, ALLOWANCE).await?;

    servers.redis()?.stop().await?;
    // The lock is gone after 3 s, and others would have taken over if they took the leader's row for abandoned.
    let until = Instant::now() + ABANDONED + Duration::from_secs(3);
    while Instant::now() < until {
        ensure!(pods[led].term() == term, "whoever leads does not go on leading without Redis");
        ensure!(pods.iter().all(|pod| pod.health.is_ready()), "readiness depends on Redis");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    load.goes_on(20, ALLOWANCE).await?;

    pods.remove(led).kill();
    let killed = Instant::now();
    let next = leader(&pods, ABANDONED + ALLOWANCE).await?;
    println!("another led after {:?}", killed.elapsed());
    ensure!(pods[next].term() > term);
    // One of them leads, and stays.
    load.goes_on(100, SETTLED).await?;
    ensure!(pods.iter().filter(|pod| pod.leads()).count() == 1);
    load.settle(SETTLED).await?;
    load.fill_slots("default", SETTLED).await?;
    none("without Redis", load.tell().await?.faults())?;
    ensure!(!History::read(&stack.pool).await?.reasons().contains_key("expired"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_does_not_depend_on_leadership_or_redis() -> Result<()> {
    let (servers, stack) = Stack::private().await?;
    let leads = stack.pod().await?;
    leader(std::slice::from_ref(&leads), ALLOWANCE).await?;
    // It never leads, and `pod` waits until it is ready.
    let other = stack.pod().await?;
    servers.redis()?.stop().await?;
    // Nor does it need Redis for its start.
    let third = stack.pod().await?;
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until {
        for pod in [&leads, &other, &third] {
            ensure!(pod.health.is_ready(), "{:?}", pod.health.missing());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ensure!(leads.leads() && !other.leads() && !third.leads());
    // What it does depend on.
    servers.nats()?.stop().await?;
    eventually(ALLOWANCE, "no pod is ready without NATS", async || {
        [&leads, &other, &third].iter().all(|pod| !pod.health.is_ready()).then_some(())
    })
    .await?;
    servers.nats()?.start().await?;
    eventually(ALLOWANCE, "all pods are ready again", async || {
        [&leads, &other, &third].iter().all(|pod| pod.health.is_ready()).then_some(())
    })
    .await?;
    Ok(())
}
