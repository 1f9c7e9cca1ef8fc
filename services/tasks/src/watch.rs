//! Streams of events for callers: from a position on, live, without gap or double.
//!
//! One consumer of the relayed events serves all watches of this process; it is there only while somebody watches. A
//! watch first listens, then reads the database from its position until it has caught up, then goes on with what it
//! hears, and reads again wherever a batch does not continue where it stands. So nothing depends on NATS but speed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use taskyard_bus::{Bus, EventLog};
use taskyard_core::{Error, ErrorCode, EventType, Position, Result, TaskState, limits, task::Namespace};
use taskyard_postgres::failure;
use taskyard_proto::{
    convert::{event_type_to_proto, optional_state_to_proto, position_from_bus, timestamp_to_proto},
    internal::{EventBatch, EventRecord},
    v1::{self, WatchOpened, WatchReset, WatchTasksResponse, watch_tasks_response::Message},
};
use tokio::{
    sync::{Notify, broadcast, mpsc},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::App,
    store::{
        epoch::{self, Epoch},
        events::{self, Event},
        partitions::{self, Partition},
    },
};

/// Events that one statement reads.
const READ_ROWS: i64 = 500;
/// How often a watch that hears nothing looks into the database.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The watches of this process.
#[derive(Debug)]
pub struct Watches {
    open: AtomicUsize,
    opened: Notify,
    heard: broadcast::Sender<Heard>,
}

/// What the watches of this process hear.
#[derive(Clone, Debug)]
enum Heard {
    /// From now on batches are heard; what was relayed before is in the database only.
    Begun,
    Batch(Arc<EventBatch>),
}

impl Default for Watches {
    fn default() -> Self {
        Self { open: AtomicUsize::new(0), opened: Notify::new(), heard: broadcast::Sender::new(256) }
    }
}

/// Counts a watch while it is there.
#[derive(Debug)]
pub struct Seat(Arc<Watches>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Watches {
    /// Takes a seat for one more watch.
    fn sit(self: &Arc<Self>) -> Result<Seat> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= limits::WATCHES_MAX {
            self.open.fetch_sub(1, Ordering::Relaxed);
            let mut error = Error::new(ErrorCode::Exhausted, "this pod serves as many watches as it may");
            error.retry_after = Some(Duration::from_secs(5));
            return Err(error);
        }
        self.opened.notify_one();
        Ok(Seat(self.clone()))
    }

    /// Listens to the relayed events while somebody watches.
    pub async fn listen(self: Arc<Self>, bus: Bus, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            if self.open.load(Ordering::Relaxed) == 0 {
                tokio::select! {
                    () = self.opened.notified() => {}
                    () = stop.cancelled() => return Ok(()),
                }
            }
            if let Err(error) = self.hear(&bus, &stop).await {
                tracing::debug!(%error, "relayed events cannot be heard yet");
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    async fn hear(&self, bus: &Bus, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut log = bus.event_log().await?;
        // Nobody may watch any more; here and below.
        let _ = self.heard.send(Heard::Begun);
        while self.open.load(Ordering::Relaxed) > 0 {
            let batch = tokio::select! {
                batch = tokio::time::timeout(EventLog::SILENCE_MAX, log.next()) => batch,
                () = stop.cancelled() => return Ok(()),
            };
            let Ok(Some(batch)) = batch else { return Ok(()) };
            let _ = self.heard.send(Heard::Batch(Arc::new(batch)));
        }
        Ok(())
    }
}

/// What a watch wants to see.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub namespace: Namespace,
    pub namespace_name: String,
    pub after: Option<Position>,
    pub task: Option<Uuid>,
    pub queue: Option<String>,
    pub progress: bool,
}

impl Wanted {
    fn shows(&self, namespace: Namespace, task: Uuid, queue: &str) -> bool {
        self.namespace == namespace
            && self.task.is_none_or(|wanted| wanted == task)
            && self.queue.as_ref().is_none_or(|wanted| wanted == queue)
    }
}

type Sender = mpsc::Sender<Result<WatchTasksResponse>>;

/// Opens a watch; it ends with the receiver, the stop, or a reset.
///
/// # Errors
/// If there are too many, or the database cannot be reached.
pub async fn open(
    app: Arc<App>,
    wanted: Wanted,
    stop: CancellationToken,
) -> Result<mpsc::Receiver<Result<WatchTasksResponse>>> {
    let seat = app.watches.sit()?;
    let heard = app.watches.heard.subscribe();
    let newest = events::event_newest(&app.pool).await.map_err(failure::to_error)?;
    let position = wanted.after.unwrap_or(newest);
    let (sender, receiver) = mpsc::channel(64);
    let opened = if is_readable(&app, position, newest).await? {
        Message::Opened(WatchOpened { position: position.to_string() })
    } else {
        Message::Reset(WatchReset { position: newest.to_string() })
    };
    let is_open = matches!(opened, Message::Opened(_));
    // There is room for the first message.
    let _ = sender.try_send(Ok(WatchTasksResponse { message: Some(opened) }));
    if is_open {
        let progress = wanted.progress.then(|| app.progress.listen());
        let watch = Watch { app, wanted, position, sender, _seat: seat };
        tokio::spawn(async move {
            tokio::select! {
                () = watch.run(heard, progress) => {}
                () = stop.cancelled() => {}
            }
        });
    }
    Ok(receiver)
}

/// Whether everything after a position is still there: it is not beyond the end of a closed epoch nor ahead of all,
/// not older than what is kept, and not too far behind.
async fn is_readable(app: &App, position: Position, newest: Position) -> Result<bool> {
    if position == newest {
        return Ok(true);
    }
    let epochs = epoch::epoch_list(&app.pool).await.map_err(failure::to_error)?;
    let Some(epoch) = epochs.iter().find(|epoch| epoch.epoch == position.epoch) else {
        return Ok(false);
    };
    let end = epoch.closed_at.unwrap_or(newest);
    if position > end {
        return Ok(false);
    }
    let oldest = events::event_oldest(&app.pool).await.map_err(failure::to_error)?;
    if oldest.is_some_and(|oldest| position < oldest) && !is_complete(app, epoch).await? {
        return Ok(false);
    }
    let behind = events::event_count_after(&app.pool, position, limits::WATCH_REPLAY_EVENTS_MAX as i64 + 1)
        .await
        .map_err(failure::to_error)?;
    Ok(behind <= limits::WATCH_REPLAY_EVENTS_MAX as i64)
}

/// Whether all events of an epoch are still there: it began when the oldest partition was there already.
async fn is_complete(app: &App, epoch: &Epoch) -> Result<bool> {
    let partitions = partitions::partition_list(&app.pool).await.map_err(failure::to_error)?;
    let oldest = partitions.iter().filter(|partition| partition.table == "events").map(Partition::starts_at).min();
    Ok(oldest.is_some_and(|oldest| oldest <= epoch.opened_at))
}

struct Watch {
    app: Arc<App>,
    wanted: Wanted,
    /// Everything up to here was sent.
    position: Position,
    sender: Sender,
    _seat: Seat,
}

/// The caller is gone.
struct Gone;

impl Watch {
    async fn run(
        mut self,
        mut heard: broadcast::Receiver<Heard>,
        mut progress: Option<broadcast::Receiver<Arc<taskyard_proto::internal::RunProgress>>>,
    ) {
        let mut look = interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                _ = look.tick() => self.catch_up().await,
                heard = heard.recv() => match heard {
                    Ok(Heard::Batch(batch)) => {
                        look.reset();
                        self.follow(&batch).await
                    }
                    Ok(Heard::Begun) | Err(_) => self.catch_up().await,
                },
                report = next_progress(&mut progress) => self.tell_progress(&report).await,
                () = self.sender.closed() => return,
            };
            if done.is_err() {
                return;
            }
        }
    }

    /// Sends what a batch has beyond the position; reads the database if it does not continue there.
    async fn follow(&mut self, batch: &EventBatch) -> std::result::Result<(), Gone> {
        let previous = batch.previous.map(position_from_bus).unwrap_or_default();
        let last = batch.last.map(position_from_bus).unwrap_or_default();
        if last.epoch > self.position.epoch && !self.may_enter_next_epoch().await? {
            return Ok(());
        }
        if previous > self.position {
            return self.catch_up().await;
        }
        for record in &batch.events {
            let position = record.position.map(position_from_bus).unwrap_or_default();
            if position <= self.position {
                continue;
            }
            self.position = position;
            let Ok(id) = Uuid::from_slice(&record.task) else { continue };
            if !self.wanted.shows(record.namespace, id, &record.queue) {
                continue;
            }
            let name = &self.wanted.namespace_name;
            if let Ok(event) = taskyard_proto::convert::event_from_record(record.clone(), name) {
                self.send(Message::Event(event)).await?;
            }
        }
        Ok(())
    }

    /// Reads the database to its end.
    async fn catch_up(&mut self) -> std::result::Result<(), Gone> {
        loop {
            let events = match events::event_list(&self.app.pool, self.position, None, READ_ROWS).await {
                Ok(events) => events,
                Err(error) => {
                    // It is tried again with the next look.
                    tracing::warn!(%error, "events could not be read");
                    return Ok(());
                }
            };
            let is_end = events.len() < usize::try_from(READ_ROWS).unwrap_or(usize::MAX);
            for event in events {
                if event.position.epoch > self.position.epoch && !self.may_enter_next_epoch().await? {
                    return Ok(());
                }
                self.position = event.position;
                if self.wanted.shows(event.namespace, event.task, &event.queue) {
                    let event = to_proto(event, &self.wanted.namespace_name);
                    self.send(Message::Event(event)).await?;
                }
            }
            if is_end {
                return Ok(());
            }
        }
    }

    /// An epoch ends where the restored database ends. A watch that has seen more is told to reload. False: the database
    /// cannot be asked now.
    async fn may_enter_next_epoch(&self) -> std::result::Result<bool, Gone> {
        let asked = async {
            let has_position = epoch::epoch_has_position(&self.app.pool, self.position).await?;
            Ok::<_, sqlx::Error>((has_position, events::event_newest(&self.app.pool).await?))
        };
        match asked.await {
            Ok((true, _)) => Ok(true),
            Ok((false, newest)) => {
                self.send(Message::Reset(WatchReset { position: newest.to_string() })).await?;
                Err(Gone)
            }
            Err(error) => {
                tracing::warn!(%error, "the epoch could not be looked up");
                Ok(false)
            }
        }
    }

    async fn tell_progress(&self, report: &taskyard_proto::internal::RunProgress) -> std::result::Result<(), Gone> {
        let Ok(id) = Uuid::from_slice(&report.id) else { return Ok(()) };
        let is_wanted = report.namespace == self.wanted.namespace && self.wanted.task.is_none_or(|wanted| wanted == id);
        if !is_wanted {
            return Ok(());
        }
        let progress = v1::Progress { percent: report.percent, message: report.message.clone() };
        let message =
            v1::TaskProgress { task_id: id.to_string(), run: report.run.cast_unsigned(), progress: Some(progress) };
        self.send(Message::Progress(message)).await
    }

    async fn send(&self, message: Message) -> std::result::Result<(), Gone> {
        self.sender.send(Ok(WatchTasksResponse { message: Some(message) })).await.map_err(|_| Gone)
    }
}

async fn next_progress(
    progress: &mut Option<broadcast::Receiver<Arc<taskyard_proto::internal::RunProgress>>>,
) -> Arc<taskyard_proto::internal::RunProgress> {
    loop {
        match progress {
            Some(receiver) => match receiver.recv().await {
                Ok(report) => return report,
                // Some were missed; the next ones say more.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => *progress = None,
            },
            None => std::future::pending().await,
        }
    }
}

/// An event as callers see it.
pub fn to_proto(event: Event, namespace: &str) -> v1::Event {
    let state = |number: Option<i16>| optional_state_to_proto(number.and_then(TaskState::from_number));
    v1::Event {
        position: event.position.to_string(),
        time: Some(timestamp_to_proto(event.at)),
        r#type: EventType::from_number(event.event_type).map_or(0, |kind| event_type_to_proto(kind).into()),
        namespace: namespace.to_owned(),
        task_id: event.task.to_string(),
        version: event.version.cast_unsigned(),
        from_state: state(event.from_state).into(),
        to_state: state(event.to_state).into(),
        queue: event.queue,
        kind: event.kind,
        title: event.title.unwrap_or_default(),
        labels: labels(event.labels.as_deref()),
        creator: event.creator.unwrap_or_default(),
        run: event.run.cast_unsigned(),
        attempt: u32::from(event.attempt.cast_unsigned()),
        error: event.error.unwrap_or_default(),
        reason: event.reason.unwrap_or_default(),
        counted: event.is_counted,
    }
}

/// An event as it is relayed.
pub fn to_record(event: Event) -> EventRecord {
    EventRecord {
        position: Some(taskyard_proto::convert::position_to_bus(event.position)),
        time_us: event.at.timestamp_micros(),
        namespace: event.namespace,
        task: event.task.as_bytes().to_vec().into(),
        version: event.version,
        r#type: event.event_type.into(),
        from_state: event.from_state.unwrap_or(0).into(),
        to_state: event.to_state.unwrap_or(0).into(),
        queue: event.queue,
        kind: event.kind,
        title: event.title.unwrap_or_default(),
        labels: labels(event.labels.as_deref()),
        creator: event.creator.unwrap_or_default(),
        run: event.run,
        attempt: event.attempt.into(),
        error: event.error.unwrap_or_default(),
        reason: event.reason.unwrap_or_default(),
        counted: event.is_counted,
    }
}

fn labels(json: Option<&str>) -> std::collections::BTreeMap<String, String> {
    json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}
