//! Tasks handed in over HTTP and gRPC while a test does something to the pods, by clients that retry as they are advised
//! to; and what became of them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use taskyard_client::v1::{EventType, ListEventsRequest, NewTask, TaskState};
use taskyard_testkit::eventually;
use taskyard_tests::new_task;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::space::Space;

/// How long a client tries.
const PATIENCE: Duration = Duration::from_secs(30);
const CREATORS: u32 = 20;
/// Two hundred a second, all together.
const PAUSE: Duration = Duration::from_millis(100);

pub struct Load {
    creators: JoinSet<Result<()>>,
    stop: CancellationToken,
    accepted: Arc<Mutex<Vec<Uuid>>>,
    begun: Instant,
}

impl Load {
    pub async fn start(space: &Space) -> Result<Self> {
        let (stop, accepted) = (CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
        let (url, token, grpc) = (space.url().await?, space.token().await?, space.taskyard().await?);
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
        let mut creators = JoinSet::new();
        for creator in 0..CREATORS {
            let (stop, accepted) = (stop.clone(), accepted.clone());
            let (url, token, http, grpc) = (url.clone(), token.clone(), http.clone(), grpc.clone());
            creators.spawn(async move {
                let mut tick = tokio::time::interval(PAUSE);
                for number in (creator..).step_by(CREATORS as usize) {
                    tick.tick().await;
                    if stop.is_cancelled() {
                        return Ok(());
                    }
                    let ms = if number % 100 == 0 { 3_000 } else { number % 4 * 20 };
                    let task = new_task("sleep");
                    let id = Uuid::try_parse(&task.id)?;
                    if creator % 2 == 0 {
                        let task = NewTask { payload: json!({ "ms": ms }).to_string().into(), ..task };
                        grpc.create_task(task).await.context("a create over gRPC failed")?;
                    } else {
                        let task = json!({ "id": id, "kind": "sleep", "payload": { "ms": ms } });
                        post(&http, &format!("{url}/v1/tasks"), &token, &task)
                            .await
                            .context("a create over HTTP failed")?;
                    }
                    accepted.lock().unwrap_or_else(PoisonError::into_inner).push(id);
                }
                Ok(())
            });
        }
        Ok(Self { creators, stop, accepted, begun: Instant::now() })
    }

    /// Creates no more and waits until all has ended: nothing may be lost, and no attempt be spent.
    pub async fn settle(mut self, space: &Space, within: Duration) -> Result<()> {
        self.stop.cancel();
        let seconds = self.begun.elapsed().as_secs_f64();
        while let Some(created) = self.creators.join_next().await {
            created??;
        }
        let accepted = std::mem::take(&mut *self.accepted.lock().unwrap_or_else(PoisonError::into_inner));
        println!(
            "load: {} tasks in {seconds:.0} s, {:.0} a second, none refused",
            accepted.len(),
            accepted.len() as f64 / seconds
        );
        ensure!(accepted.len() as f64 > 50.0 * seconds, "the load was too small to say anything");
        let client = space.taskyard().await?;
        eventually(within, "all queues are empty", async || {
            let queues = client.list_queues(Default::default()).await.ok()?.queues;
            queues.iter().all(|queue| queue.ready + queue.running + queue.scheduled == 0).then_some(())
        })
        .await?;
        for ids in accepted.chunks(50) {
            let mut reads = JoinSet::new();
            for id in ids.iter().copied() {
                let client = client.clone();
                reads.spawn(async move {
                    let task = client.get_task(id).await.with_context(|| format!("{id} is lost"))?;
                    ensure!(task.state() == TaskState::Completed, "{id}: {task:?}");
                    ensure!(task.attempt == 0, "{id} has spent an attempt: {task:?}");
                    if task.run > 1 {
                        let request = ListEventsRequest { task_id: id.to_string(), ..Default::default() };
                        let events = client.list_events(request).await?.events;
                        let ends = events.iter().filter(|event| event.r#type() == EventType::Completed).count();
                        ensure!(ends == 1, "{id} ended {ends} times: {events:?}");
                    }
                    Ok(task.run)
                });
            }
            while let Some(read) = reads.join_next().await {
                read??;
            }
        }
        Ok(())
    }
}

/// A POST that is repeated where HTTP says that it may be: the task's id makes it safe.
async fn post(http: &reqwest::Client, url: &str, token: &str, body: &Value) -> Result<()> {
    let begun = Instant::now();
    loop {
        let sent = http
            .post(url)
            .bearer_auth(token)
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await;
        let failed = match sent {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => {
                let status = answer.status();
                let text = answer.text().await.unwrap_or_default();
                let again = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_GATEWAY];
                if !again.contains(&status) {
                    bail!("{status}: {text}");
                }
                format!("{status}: {text}")
            }
            Err(error) => format!("{error:?}"),
        };
        ensure!(begun.elapsed() < PATIENCE, "after {PATIENCE:?}: {failed}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
