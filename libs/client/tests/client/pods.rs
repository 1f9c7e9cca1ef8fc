//! Pods that fail in every way, and calls that succeed in spite of it.

use std::time::Duration;

use taskyard_client::{Client, ErrorCode, Pods, Result, Token, v1};
use tokio::time::Instant;
use tonic::Status;

use crate::fake::{Behavior, FakePod};

fn client(urls: &[String]) -> Client {
    Client::new(Pods::connect(urls, Token::bearer("secret").unwrap()).unwrap()).with_timeout(Duration::from_secs(10))
}

async fn get(client: &Client) -> Result<v1::Task> {
    client.get_task("x").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_carry_the_token_and_the_deadline() {
    let pod = FakePod::start();
    get(&client(&[pod.url()])).await.unwrap();
    let metadata = pod.shared.metadata.lock().unwrap().remove(0);
    assert_eq!(metadata.get("authorization").unwrap(), "Bearer secret");
    let timeout = metadata.get("grpc-timeout").unwrap().to_str().unwrap();
    let micros: u64 = timeout.strip_suffix('u').unwrap().parse().unwrap();
    assert!((8_000_000..=10_000_000).contains(&micros), "{timeout}");
    assert!(metadata.get("user-agent").unwrap().to_str().unwrap().starts_with("taskyard-client/"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_spreads_over_the_pods() {
    let pods = [FakePod::start(), FakePod::start(), FakePod::start()];
    let client = client(&[pods.each_ref().map(FakePod::url).join(",")]);
    for pod in &pods {
        pod.behave(Behavior::Slow(Duration::from_millis(2)));
    }
    let callers = (0..16).map(|_| async {
        for _ in 0..50 {
            get(&client).await.unwrap();
        }
    });
    futures::future::join_all(callers).await;
    for pod in &pods {
        assert!(pod.calls() > 100, "{} of 800 calls", pod.calls());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_is_not_there_costs_nothing() {
    let good = FakePod::start();
    // Nobody listens; and nobody takes connections, as with a pod whose machine is gone.
    let mut dead = FakePod::start();
    dead.kill();
    let client = client(&[dead.url(), "http://192.0.2.1:50051".to_owned(), good.url()]);
    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        let began = Instant::now();
        get(&client).await.unwrap();
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_millis(1_000), "{slowest:?}");
}

/// Calls until every pod has had some, so that each has a connection.
async fn warm_up(client: &Client, pods: &[FakePod]) {
    for pod in pods {
        pod.behave(Behavior::Slow(Duration::from_millis(20)));
    }
    while pods.iter().any(|pod| pod.calls() == 0) {
        for result in futures::future::join_all((0..8).map(|_| get(client))).await {
            result.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_cannot_serve_is_avoided() {
    let pods = [FakePod::start(), FakePod::start()];
    let client = client(&pods.each_ref().map(FakePod::url));
    warm_up(&client, &pods).await;
    let [good, bad] = &pods;
    let before = bad.calls();
    good.behave(Behavior::Slow(Duration::from_millis(5)));
    bad.behave(Behavior::Fail(Status::unavailable("no database")));
    // The bad one answers fastest: whoever only looks at what is in flight sends everything there.
    let callers = (0..4).map(|_| async {
        for _ in 0..150 {
            get(&client).await.unwrap();
        }
    });
    futures::future::join_all(callers).await;
    let calls = bad.calls() - before;
    assert!((1..60).contains(&calls), "{calls} calls of 600 went to the bad pod");

    // And it is not forgotten.
    bad.behave(Behavior::Slow(Duration::from_millis(5)));
    let (before, deadline) = (bad.calls(), Instant::now() + Duration::from_secs(10));
    while bad.calls() < before + 20 {
        assert!(Instant::now() < deadline, "the pod is well and gets no calls");
        futures::future::join_all((0..4).map(|_| get(&client))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_pod_that_cannot_serve_for_a_while_is_waited_for() {
    let pod = FakePod::start();
    pod.behave(Behavior::Fail(Status::unavailable("no database")));
    let client = client(&[pod.url()]);
    let call = tokio::spawn({
        let client = client.clone();
        async move { get(&client).await }
    });
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!((2..60).contains(&pod.calls()), "{} calls", pod.calls());
    pod.behave(Behavior::Answer);
    call.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_failures_are_told_at_once() {
    let pod = FakePod::start();
    let client = client(&[pod.url()]);
    for (status, code) in [
        (Status::not_found("none"), ErrorCode::TaskNotFound),
        (Status::invalid_argument("bad"), ErrorCode::InvalidInput),
        (Status::resource_exhausted("full"), ErrorCode::Exhausted),
        (Status::internal("oh"), ErrorCode::Internal),
    ] {
        let before = pod.calls();
        pod.behave(Behavior::Fail(status));
        let error = get(&client).await.expect_err("it fails");
        assert_eq!(error.code, code);
        assert_eq!(pod.calls(), before + 1, "{code:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_dies_in_the_middle_of_a_call_loses_nothing() {
    let mut pods = [FakePod::start(), FakePod::start()];
    let client = client(&pods.each_ref().map(FakePod::url));
    warm_up(&client, &pods).await;
    pods[0].behave(Behavior::Slow(Duration::from_secs(30)));
    let before = pods[0].calls();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { get(&client).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(pods[0].calls() > before, "some calls hang there");
    pods[0].kill();
    let began = Instant::now();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_comes_back_is_used_again() {
    let mut pod = FakePod::start();
    let client = client(&[pod.url()]);
    get(&client).await.unwrap();
    for _ in 0..3 {
        let address = pod.address.to_string();
        pod.kill();
        pod = FakePod::start_at(&address);
        get(&client).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_is_kept() {
    let pod = FakePod::start();
    pod.behave(Behavior::Slow(Duration::from_secs(30)));
    let slow = client(&[pod.url()]).with_timeout(Duration::from_millis(300));
    // It takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = client(&[format!("http://{}", silent.local_addr().unwrap())]).with_timeout(Duration::from_millis(300));
    for client in [slow, silent] {
        let began = Instant::now();
        assert_eq!(get(&client).await.expect_err("too slow").code, ErrorCode::DeadlineExceeded);
        assert!((290..900).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_reached_is_said() {
    let mut pod = FakePod::start();
    pod.kill();
    let nobody = client(&[pod.url()]).with_timeout(Duration::from_millis(400));
    let unknown = client(&["http://does-not-exist.invalid:1".to_owned()]).with_timeout(Duration::from_millis(400));
    for (client, expected) in [(nobody, "refused"), (unknown, "no pod can be reached")] {
        let began = Instant::now();
        let error = get(&client).await.expect_err("nobody there");
        assert_eq!(error.code, ErrorCode::Unavailable);
        assert!(error.message.contains(expected), "{}", error.message);
        assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_resolved() {
    let pod = FakePod::start();
    let client = client(&[format!("http://localhost:{}", pod.address.port())]);
    get(&client).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_spread_and_avoid_the_pod_they_left() {
    let pods = [FakePod::start(), FakePod::start(), FakePod::start()];
    let all = Pods::connect(pods.each_ref().map(FakePod::url), Token::none()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut seen = std::collections::BTreeMap::<_, usize>::new();
    for _ in 0..90 {
        *seen.entry(all.pick_for_stream(&[], deadline).await.unwrap().address()).or_default() += 1;
    }
    assert!(seen.len() == 3 && seen.values().all(|count| *count > 5), "{seen:?}");
    for pod in &pods {
        for _ in 0..20 {
            let other = all.pick_for_stream(&[pod.address], deadline).await.unwrap();
            assert_ne!(other.address(), pod.address);
        }
    }
}
