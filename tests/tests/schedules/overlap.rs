//! Ticks while the last task of the schedule is not finished.

use anyhow::Result;
use taskyard_proto::v1::{CompleteTaskRequest, Overlap, ScheduleDefinition, TickKind};
use taskyard_tests::SOON;

use crate::rig::{Rig, every, kinds};

#[tokio::test]
async fn a_tick_is_passed_over_while_the_last_task_is_not_finished() -> Result<()> {
    let rig = Rig::open().await?;
    rig.create("s", ScheduleDefinition { overlap: Overlap::Skip.into(), ..every(1) }).await?;
    let schedule = rig.ticked("s", 4, SOON).await?;
    let made: Vec<_> = kinds(&schedule.ticks).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(made[..4], [TickKind::OnTime, TickKind::Overlapped, TickKind::Overlapped, TickKind::Overlapped]);
    assert_eq!(rig.made("s").await?.len(), 1);
    assert!(
        schedule.ticks.iter().filter(|tick| tick.kind() == TickKind::Overlapped).all(|tick| tick.task_id.is_empty())
    );

    // As soon as it is done, the next tick makes one again.
    let done = CompleteTaskRequest { id: schedule.last_task_id.clone(), result: "1".into(), version: 0 };
    rig.pod.tasks().await?.complete_task(done).await?;
    taskyard_testkit::eventually(SOON, "a second task", async || (rig.made("s").await.ok()?.len() == 2).then_some(()))
        .await?;
    let after = rig.get("s").await?;
    assert_ne!(after.last_task_id, schedule.last_task_id);
    // A run by hand comes all the same, and counts.
    let by_hand = rig.trigger("s", "").await?;
    assert!(by_hand.created);
    assert_eq!(rig.get("s").await?.last_task_id, by_hand.task_id);
    assert_eq!(rig.faults().await?, 0);
    rig.close().await
}

#[tokio::test]
async fn tasks_overlap_where_they_may() -> Result<()> {
    let rig = Rig::open().await?;
    rig.create("s", every(1)).await?;
    rig.ticked("s", 4, SOON).await?;
    assert!(rig.made("s").await?.len() >= 4);
    rig.close().await
}
