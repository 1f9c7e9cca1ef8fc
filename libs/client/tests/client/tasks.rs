//! Creating tasks safely.

use std::time::Duration;

use taskyard_client::{
    Client, ErrorCode, Pods, Token,
    v1::{self, create_tasks_result},
};
use tonic::Status;
use uuid::Uuid;

use crate::fake::{Behavior, FakePod};

fn client(pod: &FakePod) -> Client {
    Client::new(Pods::connect([pod.url()], Token::none()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_create_has_the_same_id() {
    let pod = FakePod::start();
    pod.behave(Behavior::Fail(Status::unavailable("no database")));
    let client = client(&pod);
    let call = tokio::spawn(async move { client.create_task(v1::NewTask::default()).await });
    while pod.calls() < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    pod.behave(Behavior::Answer);
    let task = call.await.unwrap().unwrap().task.unwrap();
    let created = pod.shared.created.lock().unwrap().clone();
    assert!(created.len() > 3 && created.iter().all(|new| new.id == task.id));
    assert_eq!(Uuid::parse_str(&task.id).unwrap().get_version_num(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_and_idempotency_keys_of_the_caller_stay() {
    let pod = FakePod::start();
    let client = client(&pod);
    client.create_task(v1::NewTask { id: "mine".to_owned(), ..v1::NewTask::default() }).await.unwrap();
    client.create_task(v1::NewTask { idempotency_key: "key".to_owned(), ..v1::NewTask::default() }).await.unwrap();
    let created = pod.shared.created.lock().unwrap().clone();
    assert_eq!((created[0].id.as_str(), created[1].id.as_str()), ("mine", ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_go_in_as_many_requests_as_they_need() {
    let pod = FakePod::start();
    let client = client(&pod);
    assert!(client.create_tasks(vec![]).await.unwrap().is_empty());
    assert_eq!(pod.calls(), 0);
    let made = client.create_tasks(vec![v1::NewTask::default(); 2]).await.unwrap();
    let ids = made.into_iter().map(|result| match result.result {
        Some(create_tasks_result::Result::Created(created)) => Uuid::parse_str(&created.id).unwrap(),
        other => panic!("{other:?}"),
    });
    assert_eq!(ids.collect::<std::collections::BTreeSet<_>>().len(), 2, "each has an id of its own");
    for (count, payload_bytes, requests) in [(2_500, 10, 3), (20, 1 << 20, 3), (3, 15 << 20, 3)] {
        let before = pod.calls();
        let task = v1::NewTask { payload: vec![b'1'; payload_bytes].into(), ..v1::NewTask::default() };
        let ids: Vec<_> = (0..count).map(|_| Uuid::now_v7().to_string()).collect();
        let tasks = ids.iter().map(|id| v1::NewTask { id: id.clone(), ..task.clone() }).collect();
        let results = client.create_tasks(tasks).await.unwrap();
        let created: Vec<_> = results
            .into_iter()
            .map(|result| match result.result {
                Some(create_tasks_result::Result::Created(created)) => created.id,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(created, ids);
        assert_eq!(pod.calls() - before, requests, "{count} tasks of {payload_bytes} bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_too_large_for_any_request_is_refused_at_once() {
    let pod = FakePod::start();
    let client = client(&pod);
    let task = |bytes: usize| v1::NewTask { payload: vec![b'1'; bytes].into(), ..v1::NewTask::default() };
    for error in [
        client.create_task(task(16 << 20)).await.expect_err("too large"),
        client.create_tasks(vec![task(1), task(16 << 20)]).await.expect_err("too large"),
    ] {
        assert_eq!(error.code, ErrorCode::TooLarge);
    }
    assert_eq!(pod.calls(), 0);
    client.create_task(task((16 << 20) - 2_000)).await.unwrap();
}
