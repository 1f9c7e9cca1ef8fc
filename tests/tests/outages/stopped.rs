//! Postgres is away for half a minute, three session timeouts long.

use std::time::Duration;

use anyhow::Result;
use taskyard_proto::v1::{CreateTaskRequest, Verdict};
use taskyard_tests::{Listener, Load, LoadOptions, RawWorker, Stack, WorkerOptions, new_task};

use super::{ALLOWANCE, SETTLED, pods, sleep_s, urls, wiped::all_is_well};

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_stopped_for_half_a_minute_under_load() -> Result<()> {
    let (servers, stack) = Stack::private().await?;
    let pods = pods(&stack, 2).await?;
    let listener = Listener::open(&urls(&pods), None).await?;
    let load = Load::start(&stack.pool, LoadOptions::roaming(&urls(&pods)))?;

    // A worker whose run is due to be timed out in the middle of the outage, were it not for the outage: it is done
    // in time, and cannot say so.
    let options = WorkerOptions { kinds: vec!["brief".into()], ..WorkerOptions::default() };
    let session = options.session;
    let mut worker = RawWorker::open(&pods[0].url(), options.clone()).await?;
    let brief = taskyard_proto::v1::NewTask {
        timeout: Some(taskyard_proto::convert::duration_to_proto(Duration::from_secs(10))),
        ..new_task("brief")
    };
    pods[0].tasks().await?.create_task(CreateTaskRequest { task: Some(brief) }).await?;
    let run = worker.next_run(ALLOWANCE).await?.expect("a run");

    load.goes_on(50, ALLOWANCE).await?;
    servers.postgres()?.stop().await?;
    let listening = async {
        // The pod sends it elsewhere, where nobody can say hello to it now; its stream stays.
        worker.listen(Duration::from_secs(30)).await
    };
    listening.await?;
    assert!(worker.drained, "a pod without a database sends its workers elsewhere");
    servers.postgres()?.start().await?;
    let mut worker = loop {
        let held = vec![(run.task_id.clone(), run.run)];
        match RawWorker::open(&pods[1].url(), WorkerOptions { session, held, ..options.clone() }).await {
            Ok(worker) => break worker,
            Err(_) => sleep_s(1).await,
        }
    };
    worker.complete(&run).await?;
    assert_eq!(worker.verdict(&run, ALLOWANCE).await?, Verdict::Recorded);
    worker.goodbye().await?;
    sqlx::query("delete from tasks.sessions where id = $1").bind(session).execute(&stack.pool).await?;

    load.goes_on(100, SETTLED).await?;
    // Long enough for whatever would be enforced late.
    sleep_s(15).await;
    all_is_well(&stack, load, &listener).await?;
    stack.close().await
}
