//! Progress of running tasks: told live, kept nowhere but in memory, the last value of each run only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use taskyard_bus::Bus;
use taskyard_core::{limits, task::Namespace};
use taskyard_proto::{
    internal::{RunProgress, RunsProgress},
    v1,
};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Changes within this time go into one message, the last value of each run.
const PAUSE: Duration = Duration::from_millis(200);
/// Runs whose progress is remembered.
const REMEMBERED_MAX: usize = 20_000;
/// Runs of one message.
const MESSAGE_RUNS_MAX: usize = 500;

/// What is known of running tasks' progress.
#[derive(Debug)]
pub struct ProgressBoard {
    reported: Mutex<HashMap<(Namespace, Uuid), RunProgress>>,
    known: Mutex<HashMap<(Namespace, Uuid), RunProgress>>,
    notify: Notify,
    heard: broadcast::Sender<Arc<RunProgress>>,
}

impl Default for ProgressBoard {
    fn default() -> Self {
        Self {
            reported: Mutex::default(),
            known: Mutex::default(),
            notify: Notify::new(),
            heard: broadcast::Sender::new(4_096),
        }
    }
}

impl ProgressBoard {
    /// A worker of this pod reports.
    pub fn report(&self, namespace: Namespace, id: Uuid, run: i32, progress: v1::Progress) {
        let progress = RunProgress {
            namespace,
            id: id.as_bytes().to_vec().into(),
            run,
            percent: progress.percent.min(100),
            message: limits::clean_message(&progress.message, limits::PROGRESS_BYTES_MAX),
        };
        lock(&self.reported).insert((namespace, id), progress);
        self.notify.notify_one();
    }

    /// The last progress of a run.
    pub fn of(&self, namespace: Namespace, id: Uuid, run: u32) -> Option<v1::Progress> {
        lock(&self.known)
            .get(&(namespace, id))
            .filter(|known| known.run.cast_unsigned() == run)
            .map(|known| v1::Progress { percent: known.percent, message: known.message.clone() })
    }

    /// Hears progress as it comes.
    pub fn listen(&self) -> broadcast::Receiver<Arc<RunProgress>> {
        self.heard.subscribe()
    }

    /// Tells the other pods what this one's workers report.
    pub async fn tell(self: Arc<Self>, bus: Bus, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = self.notify.notified() => {}
                () = stop.cancelled() => return Ok(()),
            }
            let reported: Vec<RunProgress> = std::mem::take(&mut *lock(&self.reported)).into_values().collect();
            let mut by_namespace: HashMap<Namespace, Vec<RunProgress>> = HashMap::new();
            for progress in reported {
                by_namespace.entry(progress.namespace).or_default().push(progress);
            }
            for (namespace, runs) in by_namespace {
                for runs in runs.chunks(MESSAGE_RUNS_MAX) {
                    let message = RunsProgress { runs: runs.to_vec() };
                    bus.tell(bus.names().progress(&namespace.to_string()), &message).await;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Hears what all pods tell.
    pub async fn hear(self: Arc<Self>, bus: Bus, stop: CancellationToken) -> anyhow::Result<()> {
        let mut messages = bus.listen::<RunsProgress>(bus.names().progress("*")).await?;
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                () = stop.cancelled() => return Ok(()),
            };
            let Some(message) = message else { anyhow::bail!("the connection to NATS is closed") };
            for progress in message.runs {
                let Ok(id) = Uuid::from_slice(&progress.id) else { continue };
                let key = (progress.namespace, id);
                // Nobody may listen.
                let _ = self.heard.send(Arc::new(progress.clone()));
                let mut known = lock(&self.known);
                if known.len() >= REMEMBERED_MAX && !known.contains_key(&key) {
                    // Runs that ended are not told here; what is forgotten comes again with the next report.
                    known.clear();
                }
                let newer = known.get(&key).is_none_or(|known| known.run <= progress.run);
                if newer {
                    known.insert(key, progress);
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
