//! Workers that die or freeze while they run tasks.

use std::{collections::HashSet, time::Duration};

use anyhow::Result;
use taskyard_core::TaskState;
use taskyard_proto::v1::{self, NewTask, Verdict};
use taskyard_testkit::Process;
use taskyard_tests::{History, RawWorker, WorkerOptions, new_task};
use tokio::time::Instant;

use crate::{SOON, fleet::Fleet};

const TASKS: usize = 100;
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// The leader looks every second; the rest is for the machine.
const ALLOWANCE: Duration = Duration::from_secs(2);

/// What happens to the worker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Killed,
    Frozen,
}

#[tokio::test]
async fn the_runs_of_a_killed_worker_go_to_another() -> Result<()> {
    runs_go_to_another(Fate::Killed).await
}

/// Its connection stays open, and nothing tells that it is gone but its silence.
#[tokio::test]
async fn the_runs_of_a_frozen_worker_go_to_another() -> Result<()> {
    runs_go_to_another(Fate::Frozen).await
}

async fn runs_go_to_another(fate: Fate) -> Result<()> {
    let fleet = Fleet::start_with(&SESSION_TIMEOUT.as_secs().to_string(), 2).await?;
    let client = fleet.client()?;
    let mut first = fleet.stack.worker_process(&fleet.urls(), &[])?;
    first.wait_for_output("Serving", SOON).await?;
    let payload = br#"{"ms": 14000}"#.as_slice();
    let tasks: Vec<NewTask> = (0..TASKS).map(|_| NewTask { payload: payload.into(), ..new_task("sleep") }).collect();
    let ids: HashSet<String> = tasks.iter().map(|task| task.id.clone()).collect();
    client.create_tasks(tasks).await?;
    fleet.stack.wait_for(v1::TaskState::Running, TASKS as i64, SOON).await?;
    // The second one waits with all its slots.
    let options = WorkerOptions { kinds: vec!["sleep".into()], slots: TASKS as u32, ..WorkerOptions::default() };
    let mut second = RawWorker::open(&fleet.url(1), options).await?;
    // The assignments arrive, and some life signs are written.
    second.listen(Duration::from_secs(3)).await?;
    assert_eq!(second.waiting(), 0);

    strike(&mut first, fate).await?;
    let struck_at = Instant::now();
    let runs = second.runs(TASKS, SESSION_TIMEOUT + ALLOWANCE).await?;
    println!("all {TASKS} run again after {:?}", struck_at.elapsed());
    assert!(struck_at.elapsed() >= SESSION_TIMEOUT - Duration::from_secs(4), "not before the timeout has passed");
    assert_eq!(runs.iter().map(|run| run.task_id.clone()).collect::<HashSet<_>>(), ids);
    assert!(runs.iter().all(|run| run.run == 2 && run.attempt == 1), "an attempt is spent: {runs:?}");
    if fate == Fate::Frozen {
        // It comes back, and all that it has done is of no use.
        first.thaw()?;
        second.listen(Duration::from_secs(5)).await?;
    }
    for run in &runs {
        second.complete(run).await?;
    }
    for run in &runs {
        assert_eq!(second.verdict(run, SOON).await?, Verdict::Recorded);
    }
    second.listen(Duration::from_secs(1)).await?;
    assert_eq!(second.waiting(), 0, "nothing runs a third time");

    let history = History::read(&fleet.stack.pool).await?;
    assert_eq!(history.faults(), Vec::<String>::new());
    assert_eq!(history.reasons().into_iter().collect::<Vec<_>>(), [("expired", TASKS)]);
    for id in ids {
        let life = history.of(id.parse()?);
        let states: Vec<_> = life.iter().filter_map(|event| event.to_state).collect();
        let (ready, running) = (TaskState::Ready as i16, TaskState::Running as i16);
        assert_eq!(states, [ready, running, ready, running, TaskState::Completed as i16], "{life:?}");
        assert_eq!(life.iter().filter(|event| event.is_counted).count(), 1, "{life:?}");
        assert_eq!(life.last().map(|event| event.attempt), Some(1), "{life:?}");
    }
    fleet.close().await
}

async fn strike(worker: &mut Process, fate: Fate) -> Result<()> {
    match fate {
        Fate::Killed => worker.kill(),
        Fate::Frozen => worker.freeze().await,
    }
}
