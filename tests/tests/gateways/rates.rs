//! How often a caller may call, counted by the real Redis.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use serde_json::{Value, json};
use taskyard_proto::v1::{ListQueuesRequest, queue_service_client::QueueServiceClient};
use taskyard_redis::{Rate, Redis, Spare};
use taskyard_testkit::{Proxy, eventually};
use taskyard_tests::SOON;
use tokio::time::{Instant, sleep, sleep_until};

use crate::rig::{Answer, Gateway, PASSWORD, Rig};

const LIMIT: u32 = 50;

/// Reads are limited to so many in ten seconds.
const FEW: Option<Rate> = Some(Rate { limit: LIMIT, window: Duration::from_secs(10) });

async fn read(gateway: &Gateway, token: &str) -> Result<Answer> {
    gateway.send("GET", "/v1/queues", token, &Value::Null).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_exact_from_two_gateways_at_once() -> Result<()> {
    let rig = Rig::open().await?;
    let (one, two) = (rig.gateway(|it| it.rates.reads = FEW).await?, rig.gateway(|it| it.rates.reads = FEW).await?);
    let (ada, eve) = (one.register("ada@example.com").await?, two.register("eve@example.com").await?);
    let began = Instant::now();
    let answers = try_join_all((0..2 * LIMIT).flat_map(|_| [read(&one, &ada.access), read(&two, &ada.access)])).await?;
    assert!(began.elapsed() < Duration::from_secs(10), "all in one window");
    let (taken, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(taken.len() as u32, LIMIT);
    let mut left: Vec<_> = taken.iter().map(|answer| answer.header("ratelimit").to_owned()).collect();
    left.sort();
    left.dedup();
    assert_eq!(left.len() as u32, LIMIT, "each was told another number");
    for answer in refused {
        assert_eq!((answer.status.as_u16(), answer.text("/code")?.as_str()), (429, "EXHAUSTED"));
        assert_eq!(answer.header("ratelimit-policy"), format!("\"reads\";q={LIMIT};w=10"));
        assert!(answer.header("ratelimit").starts_with("\"reads\";r=0;t="), "{answer:?}");
        let after: u64 = answer.header("retry-after").parse()?;
        assert!((1..=11).contains(&after), "{after}");
    }
    // Nobody pays for another, and a read not for a write.
    assert_eq!(read(&one, &eve.access).await?.status, 200);
    let task = json!({ "kind": "manual" });
    assert_eq!(one.send("POST", "/v1/tasks", &ada.access, &task).await?.status, 201);
    assert!(one.counted("rate_limited_requests_total")? > 0.0);
    for gateway in [one, two] {
        gateway.stop().await?;
    }
    rig.close().await
}

#[tokio::test]
async fn the_window_slides() -> Result<()> {
    let rig = Rig::open().await?;
    let redis = Redis::connect(rig.stack.sandbox.redis_url(), rig.stack.sandbox.prefix())?;
    let spare = Spare::new(redis.clone());
    let rate = Rate { limit: 3, window: Duration::from_millis(1_200) };
    let admit = async || spare.admit("ada", rate).await.map(|answer| (answer.is_admitted, answer.left));
    eventually(SOON, "an answer", async || spare.admit("first", rate).await).await?;
    let began = Instant::now();
    assert_eq!(admit().await, Some((true, 2)));
    sleep(Duration::from_millis(600)).await;
    assert_eq!(admit().await, Some((true, 1)));
    assert_eq!(admit().await, Some((true, 0)));
    for _ in 0..5 {
        assert_eq!(admit().await, Some((false, 0)));
    }
    // The first one is over, the others are not.
    sleep_until(began + Duration::from_millis(1_300)).await;
    assert_eq!(admit().await, Some((true, 0)));
    assert_eq!(admit().await, Some((false, 0)));
    sleep_until(began + Duration::from_millis(1_950)).await;
    assert_eq!(admit().await, Some((true, 1)), "what was refused was not counted");
    redis.close().await;
    rig.close().await
}

/// As while a release with another rate takes the place of the one before.
#[tokio::test]
async fn what_was_used_of_another_window_does_not_count() -> Result<()> {
    let rig = Rig::open().await?;
    let redis = Redis::connect(rig.stack.sandbox.redis_url(), rig.stack.sandbox.prefix())?;
    let spare = Spare::new(redis.clone());
    let rate = |window| Rate { limit: 3, window: Duration::from_secs(window) };
    eventually(SOON, "an answer", async || spare.admit("ada", rate(6)).await).await?;
    let longer = spare.admit("ada", rate(60)).await.map(|answer| (answer.is_admitted, answer.left));
    assert_eq!(longer, Some((true, 2)));
    redis.close().await;
    rig.close().await
}

#[tokio::test]
async fn whoever_tries_passwords_is_counted_by_address() -> Result<()> {
    let rig = Rig::open().await?;
    let rate = Some(Rate { limit: 5, window: Duration::from_secs(60) });
    let gateway = rig.gateway(|it| it.rates.sign_ins = rate).await?;
    let proxied = rig
        .gateway(|it| {
            it.rates.sign_ins = rate;
            it.rates.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        })
        .await?;
    gateway.register("ada@example.com").await?;
    let path = "/v1/auth/sign-in";
    let wrong = json!({ "email": "ada@example.com", "password": "a guess of somebody" });
    let right = json!({ "email": "ada@example.com", "password": PASSWORD });
    for _ in 0..4 {
        assert_eq!(gateway.send("POST", path, "", &wrong).await?.status, 401);
    }
    // Whatever a stranger says of its address.
    for claimed in ["203.0.113.1", "203.0.113.2"] {
        let refused = gateway.send_with("POST", path, "", &right, &[("x-forwarded-for", claimed)]).await?;
        assert_eq!(refused.status, 429, "{refused:?}");
    }
    let named = async |address| proxied.send_with("POST", path, "", &right, &[("x-forwarded-for", address)]).await;
    assert_eq!(named("203.0.113.1").await?.status, 200, "a proxy that is trusted tells two clients apart");
    assert_eq!(named("127.0.0.1").await?.status, 429);
    // A token that is there is good, and the keys can be read.
    assert_eq!(gateway.send("GET", "/.well-known/jwks.json", "", &Value::Null).await?.status, 200);
    gateway.stop().await?;
    proxied.stop().await?;
    rig.close().await
}

#[tokio::test]
async fn whoever_tries_tokens_is_counted_by_address_and_nobody_else_there() -> Result<()> {
    let rig = Rig::open().await?;
    let rate = Some(Rate { limit: 5, window: Duration::from_secs(60) });
    let gateway = rig.gateway(|it| it.rates.sign_ins = rate).await?;
    let ada = gateway.register("ada@example.com").await?;
    assert_eq!(read(&gateway, &ada.access).await?.status, 200);
    let guess = |number: u32| format!("tyk_of-nobody-{number:034}");
    for number in 0..5 {
        assert_eq!(read(&gateway, &guess(number)).await?.status, 401);
    }
    for number in 5..15 {
        let refused = read(&gateway, &guess(number)).await?;
        assert_eq!((refused.status.as_u16(), refused.text("/code")?.as_str()), (429, "EXHAUSTED"));
        assert!(refused.text("/detail")?.contains("5 wrong-tokens in 60 s"), "{refused:?}");
        assert!(refused.header("retry-after").parse::<u64>()? > 0);
    }
    // Over gRPC they are the same.
    let mut queues = QueueServiceClient::connect(gateway.url.clone()).await?;
    let mut request = tonic::Request::new(ListQueuesRequest::default());
    request.metadata_mut().insert("authorization", format!("Bearer {}", guess(15)).parse()?);
    let refused = queues.list_queues(request).await.expect_err("one too many");
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused:?}");
    // Nobody at the same address suffers: with a token that is known there, one that it never saw, or a password.
    assert_eq!(read(&gateway, &ada.access).await?.status, 200);
    let (_, key) = gateway.key(&ada.access, &["tasks:read"]).await?;
    assert_eq!(read(&gateway, &key).await?.status, 200);
    gateway.register("eve@example.com").await?;
    assert_eq!(read(&gateway, "").await?.status, 401, "who shows none tries none");
    gateway.stop().await?;
    rig.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_everybody_is_let_in() -> Result<()> {
    let rig = Rig::open().await?;
    let proxy = Proxy::to_url(rig.stack.sandbox.redis_url()).await?;
    let url = proxy.url_through(rig.stack.sandbox.redis_url())?;
    let gateway = rig
        .gateway(|it| {
            it.rates.reads = FEW;
            it.redis.as_mut().unwrap().url = url.into();
        })
        .await?;
    let ada = gateway.register("ada@example.com").await?;
    eventually(SOON, "it counts", async || {
        let answer = read(&gateway, &ada.access).await.ok()?;
        (answer.status == 200 && answer.headers.contains_key("ratelimit")).then_some(())
    })
    .await?;
    proxy.cut();
    let began = Instant::now();
    for _ in 0..2 * LIMIT {
        assert_eq!(read(&gateway, &ada.access).await?.status, 200);
    }
    // Nobody waits for it but the one who finds out, and one a second after that.
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(gateway.counted("rate_limit_uncounted_requests_total")? >= f64::from(2 * LIMIT));
    proxy.heal();
    eventually(SOON, "it counts again", async || {
        let answers = try_join_all((0..LIMIT).map(|_| read(&gateway, &ada.access))).await.ok()?;
        answers.iter().any(|answer| answer.status == 429).then_some(())
    })
    .await?;
    gateway.stop().await?;
    rig.close().await
}
