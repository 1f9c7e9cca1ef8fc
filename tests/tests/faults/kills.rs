//! A pod dies at every point at which it has done something that nobody knows of yet.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use taskyard_tasks::fault::FaultPoint;
use taskyard_tests::{History, RawWorker, WorkerOptions, manual};

use crate::{
    SOON,
    checks::{self, Fate, assert_none},
    fleet::Fleet,
    stream,
    traffic::{Traffic, TrafficOptions},
};

/// Points of the leader alone.
const LEADING: [FaultPoint; 14] = [
    FaultPoint::TermTaken,
    FaultPoint::TermRead,
    FaultPoint::TermRenewed,
    FaultPoint::BeaconPublished,
    FaultPoint::StartMatched,
    FaultPoint::StartCommitted,
    FaultPoint::WorkPublished,
    FaultPoint::DueCommitted,
    FaultPoint::TickPlanned,
    FaultPoint::TickCommitted,
    FaultPoint::EraseCommitted,
    FaultPoint::EventsRead,
    FaultPoint::EventsPublished,
    FaultPoint::IndexCommitted,
];
/// Points at which a worker is served.
const SERVING: [FaultPoint; 13] = [
    FaultPoint::DemandPublished,
    FaultPoint::WorkTakenIn,
    FaultPoint::PayloadRead,
    FaultPoint::RunPushed,
    FaultPoint::HelloOpened,
    FaultPoint::HelloCommitted,
    FaultPoint::WelcomePushed,
    FaultPoint::RenewalCommitted,
    FaultPoint::FinishCommitted,
    FaultPoint::ResultAcknowledged,
    FaultPoint::DrainPushed,
    FaultPoint::GoodbyeCommitted,
    FaultPoint::FarewellPushed,
];
/// What people ask for, and what is enforced and repaired.
const ORDERING: [FaultPoint; 10] = [
    FaultPoint::CreateCommitted,
    FaultPoint::CommandCommitted,
    FaultPoint::WakePublished,
    FaultPoint::ReturnCommitted,
    FaultPoint::CancelCommitted,
    FaultPoint::StopPublished,
    FaultPoint::StopPushed,
    FaultPoint::RepairCommitted,
    FaultPoint::ExpiryCommitted,
    FaultPoint::DeadlineCommitted,
];

#[test]
fn no_point_is_left_out() {
    let tested: Vec<FaultPoint> = [&LEADING[..], &SERVING, &ORDERING].concat();
    for point in FaultPoint::ALL {
        assert_eq!(tested.iter().filter(|tested| **tested == point).count(), 1, "{point:?}");
    }
    assert_eq!(tested.len(), FaultPoint::ALL.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_leads() -> Result<()> {
    a_pod_dies_at_each_of(&LEADING).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_serves_workers() -> Result<()> {
    a_pod_dies_at_each_of(&SERVING).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_obeys_enforces_and_repairs() -> Result<()> {
    a_pod_dies_at_each_of(&ORDERING).await
}

/// Under all kinds of load, one pod of two dies at one point after the other. Nothing is lost or stuck, everything ends
/// as it should, once, and no attempt is spent for the pods' deaths. The workers live through all of it.
async fn a_pod_dies_at_each_of(points: &[FaultPoint]) -> Result<()> {
    let mut fleet = Fleet::start(2).await?;
    let traffic = Traffic::start(&fleet.stack.pool, &TrafficOptions::everything(&fleet.urls()))?;
    for point in points {
        let begun = Instant::now();
        let name = point.name();
        traffic.goes_on(10, SOON).await.with_context(|| format!("before {name}"))?;
        fleet.order("abort", name)?;
        let replaced = provoke(&mut fleet, &traffic, *point).await?;
        let (dead, _) = fleet.struck(Duration::from_secs(45)).await.with_context(|| name)?;
        // The other pod goes on, and whoever is replaced comes back.
        if let Some(replaced) = replaced {
            fleet.is_gone(replaced).await?;
            fleet.start_pod(replaced).await?;
        }
        traffic.goes_on(10, SOON).await.with_context(|| format!("between the death at {name} and the restart"))?;
        fleet.start_pod(dead).await?;
        traffic.goes_on(10, SOON).await.with_context(|| format!("after {name}"))?;
        println!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
    }
    let fates = traffic.settle(Duration::from_secs(60)).await?;
    let history = History::read(&fleet.stack.pool).await?;
    println!("{:?}", history.reasons());
    assert_none(checks::faults(&history, &fates));
    assert_none(stream::faults(&fleet.stack, SOON).await?);
    fleet.close().await
}

/// Most points are reached by the load; the others need something to happen. Returns a pod that was told to end for
/// the sake of the point.
pub async fn provoke(fleet: &mut Fleet, traffic: &Traffic, point: FaultPoint) -> Result<Option<usize>> {
    match point {
        // Another pod has to take the lead.
        FaultPoint::TermTaken | FaultPoint::TermRead => {
            let (_, leader) = fleet.leads(SOON).await?;
            fleet.terminate(leader)?;
            Ok(Some(leader))
        }
        // A pod that has a worker has to send it away.
        FaultPoint::DrainPushed => {
            let options = WorkerOptions { kinds: vec!["nothing".to_owned()], ..WorkerOptions::default() };
            let worker = RawWorker::open(&fleet.url(0), options).await?;
            fleet.terminate(0)?;
            fleet.is_taken(SOON).await?;
            drop(worker);
            Ok(None)
        }
        // An owner deleted their namespace.
        FaultPoint::EraseCommitted => {
            let sql = "insert into tasks.namespaces (name, deleting_since) values (gen_random_uuid(), now())";
            sqlx::query(sql).execute(&fleet.stack.pool).await?;
            Ok(None)
        }
        // Somebody's own SQL made a row that no rule allows. The repair leaves the task as it was.
        FaultPoint::RepairCommitted => {
            let id = traffic.create(fleet.another(&[])?, manual(), Fate::completed(0)).await?;
            let sql = "update tasks.active set deadline_at = now() where id = $1";
            sqlx::query(sql).bind(id).execute(&fleet.stack.pool).await?;
            // The leader looks every ten seconds, and less often where a look takes long.
            fleet.is_taken(Duration::from_secs(60)).await?;
            // Whoever repaired it is about to die, or stands still.
            let client = fleet.client()?.with_timeout(Duration::from_secs(60));
            tokio::spawn(async move { client.complete_task(id, "1").await });
            Ok(None)
        }
        _ => Ok(None),
    }
}
