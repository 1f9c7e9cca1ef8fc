//! Answers that are kept in Redis: never older than what whoever reads was told before.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::future::{join_all, try_join_all};
use serde_json::{Value, json};
use taskyard_proto::v1::{CreateTaskRequest, DeleteTaskRequest, TaskUpdate, UpdateTaskRequest};
use taskyard_testkit::{Proxy, eventually};
use taskyard_tests::{RawWorker, SOON, Stack, WorkerOptions, manual};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::rig::{Answer, Gateway, Rig};

async fn get(gateway: &Gateway, token: &str, path: &str) -> Result<Answer> {
    gateway.send("GET", path, token, &Value::Null).await
}

/// Waits until there is a leader that relays: it begins with nothing kept.
async fn settle(rig: &Rig) -> Result<()> {
    let task = rig.pod.tasks().await?.create_task(CreateTaskRequest { task: Some(manual()) }).await?.into_inner();
    relayed(rig).await.with_context(|| format!("{task:?}"))
}

/// Waits until an event was relayed.
async fn relayed(rig: &Rig) -> Result<()> {
    let relayed = || rig.pod.metric("taskyard_events_relayed_total").filter(|relayed| *relayed > 0.0);
    eventually(SOON, "an event is relayed", async || relayed()).await.map(drop)
}

/// Reads until it is kept: a new leader begins with nothing.
async fn keep(gateway: &Gateway, token: &str, path: &str) -> Result<()> {
    eventually(SOON, "it is kept", async || {
        get(gateway, token, path).await.ok().filter(|answer| answer.header("x-cache") == "hit").map(drop)
    })
    .await
}

/// How it was found, its status, and the title of the task.
fn seen(answer: &Answer) -> (&str, u16, &str) {
    let title = answer.json["title"].as_str().unwrap_or_default();
    (answer.header("x-cache"), answer.status.as_u16(), title)
}

#[tokio::test]
async fn a_task_is_kept_until_it_changes() -> Result<()> {
    let rig = Rig::open().await?;
    let (gateway, other) = (rig.gateway(|_| {}).await?, rig.gateway(|_| {}).await?);
    let ada = gateway.register("ada@example.com").await?;
    let token = ada.access.as_str();
    settle(&rig).await?;
    let id = Uuid::now_v7().to_string();
    let path = format!("/v1/tasks/{id}");
    // That there is none is kept as well.
    eventually(SOON, "it is kept", async || {
        let none = get(&gateway, token, &path).await.ok()?;
        let hits = gateway.counted("cache_requests_total{kind=\"task\",result=\"Hit\"}").ok()?;
        (none.status == 404 && hits > 0.0).then_some(())
    })
    .await?;
    let task = json!({ "id": id, "kind": "manual", "title": "first" });
    assert_eq!(gateway.send("POST", "/v1/tasks", token, &task).await?.status, 201);

    assert_eq!(seen(&get(&gateway, token, &path).await?), ("miss", 200, "first"));
    // The relay's word of the create may come in between.
    keep(&gateway, token, &path).await?;
    let kept = get(&other, token, &path).await?;
    assert_eq!(seen(&kept), ("hit", 200, "first"));
    assert_eq!(kept.header("etag"), "\"1\"");
    let unchanged = other.send_with("GET", &path, token, &Value::Null, &[("if-none-match", "\"1\"")]).await?;
    assert_eq!((unchanged.status.as_u16(), unchanged.header("x-cache")), (304, "hit"));
    let patch = json!({ "title": "second" });
    assert_eq!(gateway.send("PATCH", &path, token, &patch).await?.status, 200);
    assert_eq!(seen(&get(&other, token, &path).await?), ("miss", 200, "second"));
    // As above.
    keep(&gateway, token, &path).await?;
    assert_eq!(seen(&get(&other, token, &path).await?), ("hit", 200, "second"));
    assert_eq!(gateway.send("DELETE", &path, token, &Value::Null).await?.status, 204);
    assert_eq!(seen(&get(&other, token, &path).await?).1, 404);

    // What is kept is the namespace's alone, and for who may read all of it.
    let eve = gateway.register("eve@example.com").await?;
    assert_eq!(get(&gateway, &eve.access, "/v1/tasks").await?.json["tasks"], json!([]));
    for gateway in [gateway, other] {
        gateway.stop().await?;
    }
    rig.close().await
}

#[tokio::test]
async fn who_may_not_read_all_is_served_from_the_source() -> Result<()> {
    let rig = Rig::open().await?;
    let gateway = rig.gateway(|_| {}).await?;
    let ada = gateway.register("ada@example.com").await?;
    let task = json!({ "kind": "manual", "queue": "letters" });
    let id = gateway.send("POST", "/v1/tasks", &ada.access, &task).await?.text("/id")?;
    let path = format!("/v1/tasks/{id}");
    keep(&gateway, &ada.access, &path).await?;
    let key = async |scope: &str, queue: &str| {
        let body = json!({ "name": "a key", "scopes": [scope], "queues": [queue] });
        gateway.send("POST", "/v1/keys", &ada.access, &body).await?.text("/secret")
    };
    let letters = get(&gateway, &key("tasks:read", "letters").await?, &path).await?;
    assert_eq!((letters.status.as_u16(), letters.header("x-cache")), (200, "bypass"));
    assert_eq!(get(&gateway, &key("tasks:read", "parcels").await?, &path).await?.status, 404);
    assert_eq!(get(&gateway, &key("work", "letters").await?, &path).await?.status, 403);
    gateway.stop().await?;
    rig.close().await
}

#[tokio::test]
async fn what_a_worker_has_done_is_seen_at_once() -> Result<()> {
    let rig = Rig::open().await?;
    let gateway = rig.gateway(|_| {}).await?;
    let token = taskyard_tests::KEY;
    settle(&rig).await?;
    let list = "/v1/tasks?state=completed";
    assert_eq!(get(&gateway, token, list).await?.header("x-cache"), "miss");
    let none = get(&gateway, token, list).await?;
    assert_eq!((none.header("x-cache"), &none.json["tasks"]), ("hit", &json!([])), "the empty list is a hit");

    let created = gateway.send("POST", "/v1/tasks", token, &json!({ "kind": "by-hand" })).await?;
    let path = format!("/v1/tasks/{}", created.text("/id")?);
    let state = async || get(&gateway, token, &path).await?.text("/state");
    assert_eq!(state().await?, "ready");
    let options = WorkerOptions { kinds: vec!["by-hand".into()], slots: 1, ..WorkerOptions::default() };
    let mut worker = RawWorker::open(&rig.pod.url(), options).await?;
    let run = worker.next_run(SOON).await?.context("the task runs")?;
    eventually(SOON, "it is seen to run", async || state().await.ok().filter(|state| state == "running")).await?;
    // Progress has no version, so a running task is read each time.
    assert_ne!(get(&gateway, token, &path).await?.header("x-cache"), "hit");
    worker.complete(&run).await?;
    worker.verdict(&run, SOON).await?;
    assert_eq!(state().await?, "completed");
    assert_eq!(get(&gateway, token, list).await?.json["tasks"][0]["state"], "completed");
    gateway.stop().await?;
    rig.close().await
}

/// A transaction that keeps the leader from relaying; for a second, then nothing is kept.
async fn hold_up(rig: &Rig) -> Result<sqlx::Transaction<'static, sqlx::Postgres>> {
    let mut slow = rig.stack.pool.begin().await?;
    sqlx::query("select pg_current_xact_id()").execute(&mut *slow).await?;
    Ok(slow)
}

/// Nobody but the pod that was asked tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_answered_is_seen_at_once() -> Result<()> {
    let rig = Rig::open().await?;
    let gateway = rig.gateway(|_| {}).await?;
    let token = taskyard_tests::KEY;
    settle(&rig).await?;
    let mut paths = Vec::new();
    for queue in ["letters", "letters", "letters", "letters", "swept"] {
        let task = json!({ "kind": "manual", "title": "before", "queue": queue });
        paths.push(format!("/v1/tasks/{}", gateway.send("POST", "/v1/tasks", token, &task).await?.text("/id")?));
    }
    let template = json!({ "kind": "manual", "queue": "letters" });
    let schedule = json!({ "name": "nightly", "times": { "cron": "0 3 * * *" }, "task": template });
    assert_eq!(gateway.send("POST", "/v1/schedules", token, &schedule).await?.status, 201);
    let (new, by_hand) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
    for id in [&new, &by_hand] {
        // That there is none.
        assert_eq!(get(&gateway, token, &format!("/v1/tasks/{id}")).await?.status, 404);
    }
    for path in paths.iter().map(String::as_str).chain(["/v1/tasks"]) {
        keep(&gateway, token, path).await?;
    }
    let slow = hold_up(&rig).await?;
    let [updated, completed, canceled, deleted, swept] = &paths[..] else { unreachable!() };
    let ask = async |method: &str, path: &str, body: Value| {
        let answer = gateway.send(method, path, token, &body).await?;
        ensure!(answer.status.is_success(), "{answer:?}");
        Ok(())
    };
    let field = async |path: &str, name: &str| get(&gateway, token, path).await?.text(name);
    // Of a list: whether it has this.
    let lists = async |path: &str, what: &str, name: &str, value: Value| {
        let list = get(&gateway, token, path).await?.json;
        anyhow::Ok(list[what].as_array().context("a list")?.iter().any(|one| one[name] == value))
    };
    ask("POST", "/v1/tasks", json!({ "id": new, "kind": "manual" })).await?;
    assert!(lists("/v1/tasks", "tasks", "id", json!(new)).await?);
    assert_eq!(get(&gateway, token, &format!("/v1/tasks/{new}")).await?.status, 200);
    keep(&gateway, token, "/v1/queues").await?;
    ask("POST", "/v1/queues/swept/pause", json!({})).await?;
    assert!(lists("/v1/queues", "queues", "paused", json!(true)).await?);
    keep(&gateway, token, "/v1/queues").await?;
    ask("PUT", "/v1/queues/swept/limits", json!({ "concurrency_max": 7 })).await?;
    assert!(lists("/v1/queues", "queues", "concurrency_max", json!(7)).await?);
    ask("PATCH", updated, json!({ "title": "after" })).await?;
    assert_eq!(field(updated, "/title").await?, "after");
    ask("POST", &format!("{completed}/complete"), json!({})).await?;
    assert_eq!(field(completed, "/state").await?, "completed");
    ask("POST", &format!("{canceled}/cancel"), json!({})).await?;
    assert_eq!(field(canceled, "/state").await?, "canceled");
    ask("POST", &format!("{canceled}/retry"), json!({})).await?;
    assert_eq!(field(canceled, "/state").await?, "open");
    ask("POST", "/v1/tasks/cancel", json!({ "filter": { "queue": "swept" } })).await?;
    assert_eq!(field(swept, "/state").await?, "canceled");
    ask("POST", "/v1/schedules/nightly/run", json!({ "task_id": by_hand })).await?;
    assert_eq!(get(&gateway, token, &format!("/v1/tasks/{by_hand}")).await?.status, 200);
    ask("DELETE", deleted, Value::Null).await?;
    assert_eq!(get(&gateway, token, deleted).await?.status, 404);
    slow.rollback().await?;
    gateway.stop().await?;
    rig.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_acknowledged_is_seen_at_once() -> Result<()> {
    let rig = Rig::open().await?;
    let gateway = rig.gateway(|_| {}).await?;
    let token = taskyard_tests::KEY;
    settle(&rig).await?;
    let created = gateway.send("POST", "/v1/tasks", token, &json!({ "kind": "by-hand" })).await?;
    let path = format!("/v1/tasks/{}", created.text("/id")?);
    let list = "/v1/tasks?state=completed";
    keep(&gateway, token, &path).await?;
    keep(&gateway, token, list).await?;
    let slow = hold_up(&rig).await?;
    let options = WorkerOptions { kinds: vec!["by-hand".into()], slots: 1, ..WorkerOptions::default() };
    let mut worker = RawWorker::open(&rig.pod.url(), options).await?;
    let run = worker.next_run(SOON).await?.context("the task runs")?;
    worker.complete(&run).await?;
    worker.verdict(&run, SOON).await?;
    assert_eq!(get(&gateway, token, &path).await?.text("/state")?, "completed");
    assert_eq!(get(&gateway, token, list).await?.json["tasks"][0]["state"], "completed");
    slow.rollback().await?;
    gateway.stop().await?;
    rig.close().await
}

/// Readers at two gateways, while a writer changes a task: none sees less than the writer was told before it asked, but
/// for the seconds in which Redis comes and goes.
async fn race(gateways: &[Gateway; 2], token: &str, time: Duration, but: Range<u64>) -> Result<(u64, u64)> {
    let task = json!({ "kind": "manual", "title": "0" });
    let path = format!("/v1/tasks/{}", gateways[0].send("POST", "/v1/tasks", token, &task).await?.text("/id")?);
    let (written, read, hits) = (AtomicU64::new(1), AtomicU64::new(0), AtomicU64::new(0));
    let (stop, began) = (CancellationToken::new(), Instant::now());
    let writer = async {
        while !stop.is_cancelled() {
            let patch = json!({ "title": written.load(Ordering::SeqCst).to_string() });
            let answer = gateways[0].send("PATCH", &path, token, &patch).await?;
            ensure!(answer.status == 200, "{answer:?}");
            written.store(answer.json["version"].as_u64().context("a version")?, Ordering::SeqCst);
            sleep(Duration::from_millis(7)).await;
        }
        Ok(())
    };
    let readers = try_join_all((0..8).map(|reader| {
        let (stop, path, written, read, hits, but) = (&stop, &path, &written, &read, &hits, &but);
        let gateway = &gateways[reader % 2];
        async move {
            while !stop.is_cancelled() {
                let known = written.load(Ordering::SeqCst);
                let answer = get(gateway, token, path).await?;
                ensure!(answer.status == 200, "{answer:?}");
                let version = answer.json["version"].as_u64().context("a version")?;
                let is_exempt = but.contains(&began.elapsed().as_secs());
                ensure!(version >= known || is_exempt, "version {known} was written, {version} was read: {answer:?}");
                read.fetch_add(1, Ordering::SeqCst);
                hits.fetch_add(u64::from(answer.header("x-cache") == "hit"), Ordering::SeqCst);
            }
            Ok(())
        }
    }));
    let end = async {
        sleep(time).await;
        stop.cancel();
        Ok(())
    };
    let raced = futures::future::try_join3(writer, readers, end).await.map(drop);
    raced?;
    Ok((read.into_inner(), hits.into_inner()))
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_never_see_less_than_was_written() -> Result<()> {
    let rig = Rig::open().await?;
    let gateways = [rig.gateway(|_| {}).await?, rig.gateway(|_| {}).await?];
    let (read, hits) = race(&gateways, taskyard_tests::KEY, Duration::from_secs(4), 0..0).await?;
    assert!(hits > 50 && read > hits, "{hits} of {read}");
    for gateway in gateways {
        gateway.stop().await?;
    }
    rig.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_reader_fills_for_all() -> Result<()> {
    let rig = Rig::open().await?;
    let gateway = rig.gateway(|_| {}).await?;
    let token = taskyard_tests::KEY;
    let created = gateway.send("POST", "/v1/tasks", token, &json!({ "kind": "manual" })).await?;
    let path = format!("/v1/tasks/{}", created.text("/id")?);
    // Its event is the first one: nothing takes a reader's place any more. The identity is known from here on, too.
    relayed(&rig).await?;
    let answers = join_all((0..40).map(|_| get(&gateway, token, &path))).await;
    let answers = answers.into_iter().collect::<Result<Vec<_>>>()?;
    let count = |how: &str| answers.iter().filter(|answer| answer.header("x-cache") == how).count();
    assert_eq!((count("miss"), count("hit")), (1, 39));
    gateway.stop().await?;
    rig.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_stops_and_starts_and_no_reader_hears_of_it() -> Result<()> {
    let (servers, stack) = Stack::private().await?;
    let pod = stack.pod().await?;
    let rig = Rig { stack, pod };
    let gateways = [rig.gateway(|_| {}).await?, rig.gateway(|_| {}).await?];
    let outage = async {
        sleep(Duration::from_secs(1)).await;
        servers.redis()?.stop().await?;
        sleep(Duration::from_secs(3)).await;
        servers.redis()?.start().await?;
        Ok(())
    };
    // Stopped after 1 s and started after 4; whoever reaches it first may see what the pod cannot change yet.
    let raced = race(&gateways, taskyard_tests::KEY, Duration::from_secs(12), 1..7);
    let ((read, hits), ()) = futures::future::try_join(raced, outage).await?;
    assert!(hits > 20 && read > hits, "{hits} of {read}");
    for gateway in gateways {
        gateway.stop().await?;
    }
    rig.close().await
}

/// The pod's word does not reach Redis. Once it does, what was kept meanwhile is out of reach.
#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_told_is_told_later() -> Result<()> {
    let stack = Stack::shared().await?;
    let proxy = Proxy::to_url(stack.sandbox.redis_url()).await?;
    let url = proxy.url_through(stack.sandbox.redis_url())?;
    let pod = stack.pod_with(&[("--redis-url", &url)]).await?;
    let rig = Rig { stack, pod };
    let gateway = rig.gateway(|_| {}).await?;
    let token = taskyard_tests::KEY;
    let task = json!({ "kind": "manual", "title": "before" });
    let path = format!("/v1/tasks/{}", gateway.send("POST", "/v1/tasks", token, &task).await?.text("/id")?);
    keep(&gateway, token, &path).await?;
    proxy.cut();
    let patch = json!({ "title": "after" });
    assert_eq!(gateway.send("PATCH", &path, token, &patch).await?.status, 200);
    assert_eq!(seen(&get(&gateway, token, &path).await?).2, "before", "nobody could tell");
    proxy.heal();
    eventually(SOON, "the change is seen", async || {
        get(&gateway, token, &path).await.ok().filter(|answer| answer.json["title"] == "after").map(drop)
    })
    .await?;
    gateway.stop().await?;
    rig.close().await
}

/// The leader cannot reach Redis, so another one leads: it knows nothing of what the first one could not tell.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_leader_could_not_tell_is_told_by_the_next() -> Result<()> {
    let stack = Stack::shared().await?;
    let proxy = Proxy::to_url(stack.sandbox.redis_url()).await?;
    let url = proxy.url_through(stack.sandbox.redis_url())?;
    let pod = stack.pod_with(&[("--redis-url", &url)]).await?;
    let rig = Rig { stack, pod };
    let gateway = rig.gateway(|_| {}).await?;
    let token = taskyard_tests::KEY;
    settle(&rig).await?;
    let next = rig.stack.pod().await?;
    let task = json!({ "kind": "manual", "title": "before" });
    let path = format!("/v1/tasks/{}", gateway.send("POST", "/v1/tasks", token, &task).await?.text("/id")?);
    keep(&gateway, token, &path).await?;
    proxy.cut();
    let relayed = || rig.pod.metric("taskyard_events_relayed_total");
    let before = relayed();
    assert_eq!(gateway.send("PATCH", &path, token, &json!({ "title": "after" })).await?.status, 200);
    eventually(SOON, "the first leader has relayed it", async || (relayed() > before).then_some(())).await?;
    eventually(SOON, "the change is seen", async || {
        get(&gateway, token, &path).await.ok().filter(|answer| answer.json["title"] == "after").map(drop)
    })
    .await?;
    assert!(next.leads());
    gateway.stop().await?;
    next.stop().await?;
    rig.close().await
}

/// A pod ends between its commit and its word: the leader finds the event.
#[tokio::test(flavor = "multi_thread")]
async fn the_change_of_a_pod_that_died_is_told_by_the_relay() -> Result<()> {
    let rig = Rig::open().await?;
    let gateway = rig.gateway(|_| {}).await?;
    let token = taskyard_tests::KEY;
    let order = tempfile();
    let environment = [("TASKYARD_FAULT_FILE", order.clone())];
    let mut dies = rig.stack.ready_process(&environment).await?;
    let id = gateway.send("POST", "/v1/tasks", token, &json!({ "kind": "manual" })).await?.text("/id")?;
    let path = format!("/v1/tasks/{id}");
    keep(&gateway, token, &path).await?;
    let mut tasks = dies.tasks().await?;
    std::fs::write(&order, "abort command-committed")?;
    let update = UpdateTaskRequest {
        id,
        task: Some(TaskUpdate { title: "its last word".into(), ..TaskUpdate::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["title".into()] }),
        version: 0,
    };
    let unanswered = timeout(SOON, tasks.update_task(update)).await?;
    assert!(unanswered.is_err(), "{unanswered:?}");
    dies.process.wait_exit(SOON).await?;
    let began = Instant::now();
    eventually(SOON, "the change is seen", async || {
        get(&gateway, token, &path).await.ok().filter(|answer| answer.json["title"] == "its last word").map(drop)
    })
    .await?;
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let _ = std::fs::remove_file(&order);
    gateway.stop().await?;
    rig.close().await
}

/// The same, and whoever repeats its command is told that there is nothing to do: that can be seen before the leader
/// has found the event, which somebody holds up.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_that_there_is_no_task_sees_none() -> Result<()> {
    let rig = Rig::open().await?;
    let gateway = rig.gateway(|_| {}).await?;
    let token = taskyard_tests::KEY;
    settle(&rig).await?;
    let order = tempfile();
    let mut dies = rig.stack.ready_process(&[("TASKYARD_FAULT_FILE", order.clone())]).await?;
    let id = gateway.send("POST", "/v1/tasks", token, &json!({ "kind": "manual" })).await?.text("/id")?;
    let path = format!("/v1/tasks/{id}");
    keep(&gateway, token, &path).await?;
    let mut tasks = dies.tasks().await?;
    let slow = hold_up(&rig).await?;
    std::fs::write(&order, "abort command-committed")?;
    let unanswered = timeout(SOON, tasks.delete_task(DeleteTaskRequest { id, version: 0 })).await?;
    assert!(unanswered.is_err(), "{unanswered:?}");
    assert_eq!(gateway.send("DELETE", &path, token, &Value::Null).await?.status, 404);
    assert_eq!(get(&gateway, token, &path).await?.status, 404);
    slow.rollback().await?;
    dies.process.wait_exit(SOON).await?;
    let _ = std::fs::remove_file(&order);
    gateway.stop().await?;
    rig.close().await
}

#[tokio::test]
async fn the_queue_of_a_new_schedule_is_seen_at_once() -> Result<()> {
    let rig = Rig::open().await?;
    let gateway = rig.gateway(|_| {}).await?;
    let token = taskyard_tests::KEY;
    settle(&rig).await?;
    let times = json!({ "cron": "0 3 * * *" });
    let sees = async |queue: &str| {
        let queues = get(&gateway, token, "/v1/queues").await?.json;
        let names = queues["queues"].as_array().context("queues")?.iter();
        anyhow::Ok(names.map(|queue| &queue["name"]).any(|name| name == queue))
    };
    keep(&gateway, token, "/v1/queues").await?;
    let schedule = json!({ "name": "nightly", "times": times, "task": { "kind": "noop", "queue": "nights" } });
    assert_eq!(gateway.send("POST", "/v1/schedules", token, &schedule).await?.status, 201);
    assert!(sees("nights").await?);
    keep(&gateway, token, "/v1/queues").await?;
    let changed = json!({ "times": times, "task": { "kind": "noop", "queue": "mornings" } });
    assert_eq!(gateway.send("PUT", "/v1/schedules/nightly", token, &changed).await?.status, 200);
    assert!(sees("mornings").await?);
    gateway.stop().await?;
    rig.close().await
}

fn tempfile() -> String {
    std::env::temp_dir().join(format!("taskyard-fault-{}", Uuid::new_v4())).to_string_lossy().into_owned()
}
