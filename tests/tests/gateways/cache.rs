//! The rules of what is kept, between one reader and another, without a gateway or a pod.

use std::time::Duration;

use anyhow::{Result, bail};
use fred::{
    prelude::{Client, ClientLike, Config, KeysInterface},
    types::CustomCommand,
};
use taskyard_redis::{Answer, Cache, Change, Found, Kept, Place, Redis, Spare};
use taskyard_testkit::{Sandbox, Servers, eventually};
use taskyard_tests::SOON;
use tokio::time::Instant;
use uuid::Uuid;

const LIFE: Duration = Duration::from_secs(60);
const LIST: Kept<'_> = Kept::Many("tasks", "all");

struct Setup {
    sandbox: Sandbox,
    redis: Redis,
    cache: Cache,
}

impl Setup {
    async fn open() -> Result<Self> {
        Self::on(Sandbox::shared().await?).await
    }

    async fn on(sandbox: Sandbox) -> Result<Self> {
        let redis = Redis::connect(sandbox.redis_url(), sandbox.prefix())?;
        let cache = Cache::new(Spare::new(redis.clone()));
        eventually(SOON, "Redis answers", async || cache.begin_epoch().await.then_some(())).await?;
        Ok(Self { sandbox, redis, cache })
    }

    async fn close(self) -> Result<()> {
        self.redis.close().await;
        self.sandbox.close().await
    }
}

fn answer(version: u32, body: &str) -> Answer {
    Answer { version, body: body.into() }
}

/// A task has changed to this version.
fn change(namespace: i32, id: Uuid, version: Option<u32>) -> [Change; 1] {
    [Change { namespace, id: Some(id), version }]
}

/// What is there, or may be filled in.
async fn look(cache: &Cache, namespace: i32, kept: Kept<'_>) -> Result<Found> {
    eventually(SOON, "nobody is waited for", async || match cache.look(namespace, kept).await {
        Found::Unknown => None,
        found => Some(found),
    })
    .await
}

/// The right to fill in what is not there.
async fn place(cache: &Cache, namespace: i32, kept: Kept<'_>) -> Result<Place> {
    match look(cache, namespace, kept).await? {
        Found::Nothing(place) => Ok(place),
        found => bail!("{found:?} is there"),
    }
}

async fn held(cache: &Cache, namespace: i32, kept: Kept<'_>) -> Result<Answer> {
    match look(cache, namespace, kept).await? {
        Found::Answer(answer) => Ok(answer),
        found => bail!("{found:?}"),
    }
}

#[tokio::test]
async fn nobody_fills_in_what_was_read_before_a_change() -> Result<()> {
    let setup = Setup::open().await?;
    let (cache, id) = (&setup.cache, Uuid::now_v7());
    let late = place(cache, 1, Kept::Task(id)).await?;
    assert!(cache.outdate(&change(1, id, Some(2))).await);
    late.fill(&answer(1, "before"), LIFE).await;
    let next = place(cache, 1, Kept::Task(id)).await?;
    next.fill(&answer(2, "after"), LIFE).await;
    assert_eq!(held(cache, 1, Kept::Task(id)).await?, answer(2, "after"));
    setup.close().await
}

#[tokio::test]
async fn the_newer_version_wins() -> Result<()> {
    let setup = Setup::open().await?;
    let (cache, id) = (&setup.cache, Uuid::now_v7());
    let task = Kept::Task(id);
    place(cache, 1, task).await?.fill(&answer(3, "third"), LIFE).await;
    assert!(cache.outdate(&change(1, id, Some(2))).await);
    assert_eq!(held(cache, 1, task).await?, answer(3, "third"), "who is told late takes nothing away");
    assert!(cache.outdate(&change(1, id, Some(4))).await);
    place(cache, 1, task).await?.fill(&answer(3, "third"), LIFE).await;
    place(cache, 1, task).await?.fill(&answer(4, "fourth"), LIFE).await;
    assert_eq!(held(cache, 1, task).await?, answer(4, "fourth"));
    setup.close().await
}

#[tokio::test]
async fn a_list_ends_with_any_change_in_its_namespace() -> Result<()> {
    let setup = Setup::open().await?;
    let cache = &setup.cache;
    let late = place(cache, 1, LIST).await?;
    place(cache, 2, LIST).await?.fill(&answer(0, "of another"), LIFE).await;
    assert!(cache.outdate(&change(1, Uuid::now_v7(), Some(1))).await);
    late.fill(&answer(0, "before"), LIFE).await;
    place(cache, 1, LIST).await?.fill(&answer(0, "after"), LIFE).await;
    assert_eq!(held(cache, 1, LIST).await?, answer(0, "after"));
    // Of a queue.
    assert!(cache.outdate(&[Change { namespace: 1, id: None, version: None }]).await);
    place(cache, 1, LIST).await?;
    assert_eq!(held(cache, 2, LIST).await?, answer(0, "of another"));
    setup.close().await
}

#[tokio::test]
async fn a_new_epoch_knows_nothing_of_the_old_one() -> Result<()> {
    let setup = Setup::open().await?;
    let (cache, id) = (&setup.cache, Uuid::now_v7());
    place(cache, 1, Kept::Task(id)).await?.fill(&answer(1, "kept"), LIFE).await;
    let late = place(cache, 1, LIST).await?;
    assert!(cache.begin_epoch().await);
    late.fill(&answer(0, "before"), LIFE).await;
    place(cache, 1, Kept::Task(id)).await?;
    place(cache, 1, LIST).await?;
    setup.close().await
}

/// A request that ends in the middle keeps nobody waiting.
#[tokio::test]
async fn a_place_that_is_dropped_is_the_next_ones() -> Result<()> {
    let setup = Setup::open().await?;
    let task = Kept::Task(Uuid::now_v7());
    let began = Instant::now();
    drop(place(&setup.cache, 1, task).await?);
    let next = place(&setup.cache, 1, task).await?;
    assert!(began.elapsed() < Duration::from_secs(2), "it ended by itself: {:?}", began.elapsed());
    // What the first one leaves behind does not take the second one's place.
    next.fill(&answer(1, "kept"), LIFE).await;
    assert_eq!(held(&setup.cache, 1, task).await?, answer(1, "kept"));
    setup.close().await
}

/// Two releases side by side: neither reads the other's, and a change ends both.
#[tokio::test]
async fn answers_of_another_shape_are_not_read() -> Result<()> {
    let setup = Setup::open().await?;
    let (old, new) = (setup.cache.clone().of_shape(1), setup.cache.clone().of_shape(2));
    let id = Uuid::now_v7();
    for kept in [Kept::Task(id), LIST] {
        place(&old, 1, kept).await?.fill(&answer(0, "old"), LIFE).await;
        place(&new, 1, kept).await?.fill(&answer(0, "new"), LIFE).await;
        assert_eq!(held(&new, 1, kept).await?, answer(0, "new"));
        // The pods that change tasks know of no shape.
        assert!(setup.cache.outdate(&change(1, id, None)).await);
        place(&new, 1, kept).await?.give_up().await;
    }
    setup.close().await
}

/// A server that is started anew with what it once wrote to its disk, or a replica that was behind.
#[tokio::test]
async fn what_a_server_brings_back_is_not_believed() -> Result<()> {
    let servers = Servers::private(&[]).await?;
    let setup = Setup::on(Sandbox::new(&servers).await?).await?;
    let (cache, id) = (&setup.cache, Uuid::now_v7());
    for kept in [Kept::Task(id), LIST] {
        place(cache, 1, kept).await?.fill(&answer(1, "before"), LIFE).await;
        assert_eq!(held(cache, 1, kept).await?.body, b"before");
    }
    let raw = connect(servers.redis_url()).await?;
    let () = raw.custom(CustomCommand::new_static("SAVE", None, false), Vec::<String>::new()).await?;
    assert!(cache.outdate(&change(1, id, Some(2))).await);
    servers.redis()?.stop().await?;
    servers.redis()?.start().await?;
    let raw = connect(servers.redis_url()).await?;
    let epochs: u32 = raw.exists(format!("{}:cache:epoch", setup.sandbox.prefix())).await?;
    assert_eq!(epochs, 1, "the server has brought back what it held");
    for kept in [Kept::Task(id), LIST] {
        place(cache, 1, kept).await?;
    }
    setup.close().await
}

async fn connect(url: &str) -> Result<Client> {
    let client = Client::new(Config::from_url(url)?, None, None, None);
    client.init().await?;
    Ok(client)
}
