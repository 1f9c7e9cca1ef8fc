//! Ticks of a namespace that has as many tasks as it may.

use anyhow::Result;
use taskyard_proto::v1::{CompleteTaskRequest, TickKind};
use taskyard_testkit::eventually;
use taskyard_tests::SOON;

use crate::rig::{Rig, every, kinds};

const QUOTA: &str = "update tasks.namespaces set active_tasks_max = 2 where name = 'default'";
/// A copy of the schedule in another namespace, which has no quota.
const ELSEWHERE: &str = "
    with other as (
        insert into tasks.namespaces (name, is_personal) values ('elsewhere', false) returning id
    ),
    copy as (
        insert into tasks.schedules (
            namespace, name, creator, interval_ms, anchor_at, catch_up_max, skips_overlap, jitter_ms, priority,
            attempts_max, timeout_ms, backoff_ms, backoff_max_ms, queue, kind, title, description, labels, payload
        )
        select
            other.id, 'elsewhere', creator, interval_ms, anchor_at, catch_up_max, skips_overlap, jitter_ms, priority,
            attempts_max, timeout_ms, backoff_ms, backoff_max_ms, queue, kind, title, description, labels, payload
        from tasks.schedules, other where schedules.name = 's'
        returning id, namespace
    )
    insert into tasks.schedule_states (schedule, namespace, version, paused, next_at)
    select id, namespace, 1, false, now() from copy";

#[tokio::test]
async fn a_tick_makes_no_task_past_the_quota_and_holds_up_no_other() -> Result<()> {
    let rig = Rig::open().await?;
    sqlx::query(QUOTA).execute(&rig.stack.pool).await?;
    rig.create("s", every(1)).await?;
    sqlx::query(ELSEWHERE).execute(&rig.stack.pool).await?;
    let schedule = rig.ticked("s", 5, SOON).await?;
    let ticks: Vec<_> = kinds(&schedule.ticks).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(ticks[..2], [TickKind::OnTime; 2]);
    assert!(ticks[2..].iter().all(|kind| *kind == TickKind::OverQuota), "{ticks:?}");
    assert!(schedule.ticks.iter().all(|tick| tick.task_id.is_empty() == (tick.kind() == TickKind::OverQuota)));
    assert_eq!(rig.made("s").await?.len(), 2);
    assert!(rig.made("elsewhere").await?.len() > 2);
    assert!(rig.pod.metric("taskyard_schedule_ticks_total{kind=\"over_quota\"}").is_some_and(|ticks| ticks >= 3.0));

    // With room again it goes on, and what was passed over does not come.
    let done = CompleteTaskRequest { id: schedule.last_task_id.clone(), result: "1".into(), version: 0 };
    rig.pod.tasks().await?.complete_task(done).await?;
    eventually(SOON, "a third task", async || (rig.made("s").await.ok()?.len() == 3).then_some(())).await?;
    assert_eq!(rig.faults().await?, 0);
    rig.close().await
}
