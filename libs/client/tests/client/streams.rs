//! Watches and retries that outlive their pod.

use std::time::Duration;

use taskyard_client::{
    Client, ErrorCode, Pods, Token, WatchMessage,
    v1::{self, watch_tasks_response::Message},
};
use tokio::{sync::mpsc, time::timeout};
use tonic::Status;

use crate::fake::{Behavior, FakePod, Opened};

type Watcher = Opened<v1::WatchTasksResponse, v1::WatchTasksRequest>;

const SOON: Duration = Duration::from_secs(10);

fn client(pod: &FakePod) -> Client {
    Client::new(Pods::connect([pod.url()], Token::none()).unwrap())
}

async fn opened(pod: &mut FakePod) -> Watcher {
    timeout(SOON, pod.watches.recv()).await.expect("a watch is opened").unwrap()
}

async fn send(watcher: &Watcher, message: Message) {
    watcher.responses.send(Ok(v1::WatchTasksResponse { message: Some(message) })).await.unwrap();
}

async fn send_opened(watcher: &Watcher, position: &str) {
    send(watcher, Message::Opened(v1::WatchOpened { position: position.to_owned() })).await;
}

async fn send_event(watcher: &Watcher, position: u32) {
    send(watcher, Message::Event(v1::Event { position: position.to_string(), ..v1::Event::default() })).await;
}

/// A watch in the background, and what it says.
fn watch(client: &Client, request: v1::WatchTasksRequest) -> mpsc::UnboundedReceiver<Result<WatchMessage, ErrorCode>> {
    let mut watch = client.watch(request);
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let next = watch.next().await.map_err(|error| error.code);
            let failed = next.is_err();
            if sender.send(next).is_err() || failed {
                break;
            }
        }
    });
    receiver
}

async fn event(messages: &mut mpsc::UnboundedReceiver<Result<WatchMessage, ErrorCode>>) -> String {
    match timeout(SOON, messages.recv()).await.expect("a message").unwrap().unwrap() {
        WatchMessage::Event(event) => event.position,
        other => format!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_from_its_last_position() {
    let mut pod = FakePod::start();
    let client = client(&pod);
    let mut messages = watch(&client, v1::WatchTasksRequest { queue: "mail".to_owned(), ..Default::default() });
    let watcher = opened(&mut pod).await;
    assert_eq!(watcher.request.position, "");
    send_opened(&watcher, "0").await;
    assert_eq!(event(&mut messages).await, "Opened { position: \"0\" }");
    drop(watcher);

    let watcher = opened(&mut pod).await;
    assert_eq!((watcher.request.position.as_str(), watcher.request.queue.as_str()), ("0", "mail"));
    send_opened(&watcher, "9").await;
    watcher.responses.send(Err(Status::unavailable("stops"))).await.unwrap();

    let watcher = opened(&mut pod).await;
    assert_eq!(watcher.request.position, "0", "nothing came yet: what lies between is still to come");
    for position in 1..=3 {
        send_event(&watcher, position).await;
        assert_eq!(event(&mut messages).await, position.to_string());
    }
    watcher.responses.send(Err(Status::unavailable("stops"))).await.unwrap();

    let watcher = opened(&mut pod).await;
    assert_eq!(watcher.request.position, "3");
    send_event(&watcher, 3).await;
    send_event(&watcher, 4).await;
    assert_eq!(event(&mut messages).await, "4", "nothing twice");

    // The process dies, and one that serves too many watches comes first.
    let address = pod.address.to_string();
    pod.kill();
    let mut pod = FakePod::start_at(&address);
    pod.behave(Behavior::Fail(Status::resource_exhausted("too many watches")));
    while pod.calls() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    pod.behave(Behavior::Answer);
    let watcher = opened(&mut pod).await;
    assert_eq!(watcher.request.position, "4");
    send_event(&watcher, 5).await;
    assert_eq!(event(&mut messages).await, "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_is_told_and_the_watch_goes_on_behind_it() {
    let mut pod = FakePod::start();
    let client = client(&pod);
    let mut messages = watch(&client, v1::WatchTasksRequest { position: "old".to_owned(), ..Default::default() });
    let watcher = opened(&mut pod).await;
    send(&watcher, Message::Reset(v1::WatchReset { position: "new".to_owned() })).await;
    assert_eq!(event(&mut messages).await, "Reset { position: \"new\" }");
    let watcher = opened(&mut pod).await;
    assert_eq!(watcher.request.position, "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_attempt_would_not_change_ends_a_watch() {
    let pod = FakePod::start();
    pod.behave(Behavior::Fail(Status::invalid_argument("no position")));
    let client = client(&pod);
    let mut messages = watch(&client, v1::WatchTasksRequest { position: "?".to_owned(), ..Default::default() });
    let end = timeout(SOON, messages.recv()).await.unwrap().unwrap();
    assert_eq!(end, Err(ErrorCode::InvalidInput));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_of_many_goes_on_after_a_cut_and_counts_on() {
    let mut pod = FakePod::start();
    let client = client(&pod);
    let (sender, mut seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut retries = client.retry_tasks(v1::TaskFilter { kind: "mail".to_owned(), ..Default::default() });
        while let Some(progress) = retries.next().await.unwrap() {
            sender.send((progress.retried, progress.done)).unwrap();
        }
    });
    let said = |retried, done| Ok(v1::RetryTasksResponse { retried, done });
    let first = timeout(SOON, pod.retries.recv()).await.unwrap().unwrap();
    first.responses.send(said(10, false)).await.unwrap();
    assert_eq!(seen.recv().await, Some((10, false)));
    drop(first);
    let second = timeout(SOON, pod.retries.recv()).await.unwrap().unwrap();
    assert_eq!(second.request.filter.unwrap().kind, "mail");
    second.responses.send(said(5, false)).await.unwrap();
    second.responses.send(said(7, true)).await.unwrap();
    assert_eq!(seen.recv().await, Some((15, false)));
    assert_eq!(seen.recv().await, Some((17, true)));
    assert_eq!(seen.recv().await, None, "it ends after the last message");
}
