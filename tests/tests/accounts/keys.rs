//! Keys: what they open, and that they end everywhere at once.

use std::time::{Duration, Instant};

use anyhow::Result;
use taskyard_core::ErrorCode;
use taskyard_proto::v1::{self, NewTask};
use taskyard_testkit::eventually;
use taskyard_tests::{KEY, SOON, Shown, WorkerOptions, noop, read};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    people::code,
    setup::{Accounts, shown},
};

/// What is promised: on every process.
const WITHIN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_key_opens_what_is_written_on_it() -> Result<()> {
    let accounts = Accounts::open().await?;
    let ada = accounts.register("ada@example.com").await?;
    let (_, reader) = accounts.key(&ada.access, &["tasks:read"], &[]).await?;
    let (_, writer) = accounts.key(&ada.access, &["tasks:write"], &["mail"]).await?;
    assert!(reader.starts_with("tyk_"));
    let task = accounts.create(&ada.access, noop()).await?;
    assert_eq!((task.namespace.as_str(), task.creator.as_str()), ("ada", "ada@example.com"));
    assert_eq!(accounts.get(&reader, &task.id).await?.id, task.id);
    assert_eq!(code(accounts.create(&reader, noop()).await), ErrorCode::Forbidden);
    assert_eq!(code(accounts.get(&writer, &task.id).await), ErrorCode::Forbidden);
    assert_eq!(code(accounts.create(&writer, noop()).await), ErrorCode::Forbidden, "another queue");
    let mail = accounts.create(&writer, NewTask { queue: "mail".into(), ..noop() }).await?;
    assert_eq!(mail.creator, "key:a key");

    // A key for some queues sees no other one.
    let (_, mail_only) = accounts.key(&ada.access, &["tasks:read", "tasks:write", "admin"], &["mail"]).await?;
    assert!(accounts.get(&mail_only, &mail.id).await.is_ok());
    assert_eq!(code(accounts.get(&mail_only, &task.id).await), ErrorCode::TaskNotFound);
    let client = accounts.client(&mail_only)?;
    let cancel = client.cancel_task(task.id.clone(), String::new()).await;
    assert_eq!(cancel.expect_err("another queue").code, ErrorCode::TaskNotFound);
    let list = v1::ListTasksRequest::default();
    let listed = read(accounts.tasks().list_tasks(shown(&mail_only, list)).await)?.tasks;
    assert_eq!(listed.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), [mail.id.as_str()]);
    let filter = Some(v1::TaskFilter { queue: "default".into(), ..v1::TaskFilter::default() });
    let list = v1::ListTasksRequest { filter, ..v1::ListTasksRequest::default() };
    assert_eq!(code(read(accounts.tasks().list_tasks(shown(&mail_only, list)).await)), ErrorCode::Forbidden);
    let queues = client.list_queues(v1::ListQueuesRequest::default()).await?.queues;
    assert_eq!(queues.iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>(), ["mail"]);
    assert_eq!(client.pause_queue("default").await.expect_err("another").code, ErrorCode::QueueNotFound);
    let events = v1::ListEventsRequest::default();
    assert_eq!(code(read(accounts.tasks().list_events(shown(&mail_only, events)).await)), ErrorCode::Forbidden);
    // Nobody makes a key that can do more than they can.
    assert_eq!(code(accounts.key(&mail_only, &["work"], &["mail"]).await), ErrorCode::Forbidden);
    assert_eq!(code(accounts.key(&mail_only, &["tasks:read"], &[]).await), ErrorCode::Forbidden);
    assert_eq!(code(accounts.key(&mail_only, &["tasks:read"], &["other"]).await), ErrorCode::Forbidden);
    assert!(accounts.key(&mail_only, &["tasks:read"], &["mail"]).await.is_ok());
    for (scopes, queues) in [(vec![], vec![]), (vec!["root"], vec![]), (vec!["work"], vec!["a b"])] {
        assert_eq!(code(accounts.key(&ada.access, &scopes, &queues).await), ErrorCode::InvalidInput, "{scopes:?}");
    }
    accounts.close().await
}

#[tokio::test]
async fn a_revoked_key_ends_on_every_process() -> Result<()> {
    let accounts = Accounts::open().await?;
    let other = accounts.stack.pod().await?;
    let ada = accounts.register("ada@example.com").await?;
    let (id, key) = accounts.key(&ada.access, &["tasks:read", "work"], &[]).await?;
    let channel = tonic::transport::Channel::from_shared(other.url())?.connect().await?;
    let ask = async || {
        let request = shown(&key, v1::ListTasksRequest::default());
        read(v1::task_service_client::TaskServiceClient::new(channel.clone()).list_tasks(request).await)
    };
    ask().await?;
    // A watch and a worker's stream stay open at the other pod, with the key.
    let mut tasks = v1::task_service_client::TaskServiceClient::new(channel.clone());
    let mut watch = tasks.watch_tasks(shown(&key, v1::WatchTasksRequest::default())).await?.into_inner();
    watch.message().await?;
    let (say, said) = tokio::sync::mpsc::channel(1);
    let hello = v1::Hello {
        session: uuid::Uuid::new_v4().to_string(),
        kinds: vec!["noop".into()],
        slots: 1,
        ..v1::Hello::default()
    };
    say.send(v1::WorkRequest { message: Some(v1::work_request::Message::Hello(hello)) }).await?;
    let mut work = v1::work_service_client::WorkServiceClient::new(channel.clone());
    let mut work = work.work(shown(&key, ReceiverStream::new(said))).await?.into_inner();
    work.message().await?;

    let listed = async || -> Result<v1::Key> {
        let page = read(accounts.keys().list_keys(shown(&ada.access, v1::ListKeysRequest::default())).await)?;
        Ok(page.keys.into_iter().find(|listed| listed.id == id).unwrap_or_default())
    };
    assert!(listed().await?.revoked_time.is_none());
    let revoked_at = Instant::now();
    let revoked = read(accounts.keys().revoke_key(shown(&ada.access, v1::RevokeKeyRequest { id: id.clone() })).await)?;
    assert!(revoked.key.unwrap_or_default().revoked_time.is_some());
    eventually(WITHIN, "the other pod refuses it", async || {
        ask().await.is_err_and(|error| error.code == ErrorCode::Unauthenticated).then_some(())
    })
    .await?;
    let end = async {
        loop {
            match watch.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the watch ended well"),
                Err(status) => break status.code(),
            }
        }
    };
    assert_eq!(tokio::time::timeout(WITHIN, end).await?, tonic::Code::Unauthenticated);
    let end = async {
        loop {
            match work.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the worker's stream ended well"),
                Err(status) => break status.code(),
            }
        }
    };
    assert_eq!(tokio::time::timeout(WITHIN, end).await?, tonic::Code::Unauthenticated);
    assert!(revoked_at.elapsed() < WITHIN, "{:?}", revoked_at.elapsed());
    // Again is no mistake; another's is not there.
    let again = v1::RevokeKeyRequest { id: id.clone() };
    assert!(accounts.keys().revoke_key(shown(&ada.access, again)).await.is_ok());
    let eve = accounts.register("eve@example.com").await?;
    let theirs = read(accounts.keys().revoke_key(shown(&eve.access, v1::RevokeKeyRequest { id })).await);
    assert_eq!(code(theirs), ErrorCode::KeyNotFound);
    other.stop().await?;
    accounts.close().await
}

/// What a pod is not told over Redis it finds out by itself.
#[tokio::test]
async fn a_key_ends_in_time_although_nobody_is_told() -> Result<()> {
    let accounts = Accounts::open().await?;
    let ada = accounts.register("ada@example.com").await?;
    let (id, key) = accounts.key(&ada.access, &["tasks:read"], &[]).await?;
    accounts.who_am_i(&key).await?;
    // As a process would that dies between its commit and its message.
    sqlx::query(
        "with revoked as (update tasks.keys set revoked_at = now() where id = $1::uuid) \
         update tasks.identity_revision set revision = revision + 1",
    )
    .bind(id)
    .execute(&accounts.stack.pool)
    .await?;
    eventually(WITHIN, "the key is refused", async || {
        accounts.who_am_i(&key).await.is_err_and(|error| error.code == ErrorCode::Unauthenticated).then_some(())
    })
    .await?;
    accounts.close().await
}

#[tokio::test]
async fn a_worker_gets_work_of_its_namespace_and_queues_only() -> Result<()> {
    let accounts = Accounts::open().await?;
    let (ada, eve) = (accounts.register("ada@example.com").await?, accounts.register("eve@example.com").await?);
    let (_, of_mail) = accounts.key(&ada.access, &["work"], &["mail"]).await?;
    for person in [&ada, &eve] {
        for queue in ["mail", "other"] {
            for _ in 0..20 {
                accounts.create(&person.access, NewTask { queue: queue.into(), ..noop() }).await?;
            }
        }
    }
    // It names no queue, and has slots for all.
    let key: &'static str = Box::leak(of_mail.into_boxed_str());
    let options = WorkerOptions { slots: 100, ..WorkerOptions::default() };
    let mut worker = taskyard_tests::RawWorker::open_as(&accounts.pod.url(), Shown(key), options.clone()).await?;
    let runs = worker.runs(20, SOON).await?;
    assert!(runs.iter().all(|run| (run.namespace.as_str(), run.queue.as_str()) == ("ada", "mail")), "{runs:?}");
    assert!(worker.next_run(Duration::from_secs(6)).await?.is_none());
    let options = WorkerOptions { queues: vec!["other".into()], ..options };
    assert!(taskyard_tests::RawWorker::open_as(&accounts.pod.url(), Shown(key), options).await.is_err());
    drop(worker);
    // The installation's worker has them all, and of each knows whose it is.
    let options = WorkerOptions { slots: 100, ..WorkerOptions::default() };
    let shown = Shown(taskyard_tests::WORKER_KEY);
    let mut everywhere = taskyard_tests::RawWorker::open_as(&accounts.pod.url(), shown, options).await?;
    let runs = everywhere.runs(60, SOON).await?;
    assert_eq!(runs.iter().filter(|run| run.namespace == "eve").count(), 40);
    for run in &runs {
        everywhere.complete(run).await?;
        assert_eq!(everywhere.verdict(run, SOON).await?, v1::Verdict::Recorded);
    }
    let options = WorkerOptions { kinds: vec!["mine".into()], ..WorkerOptions::default() };
    assert!(taskyard_tests::RawWorker::open_as(&accounts.pod.url(), shown, options).await.is_err());
    // All rights in a namespace are none in another.
    assert_eq!(code(accounts.get(KEY, &runs[0].task_id).await), ErrorCode::TaskNotFound);
    accounts.close().await
}
