//! The loop of a worker: one task that owns everything, and hears of streams, handlers, time and shutdown.

mod messages;
mod streams;

use std::{future::pending, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use taskyard_core::Result;
use taskyard_proto::v1;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::{
    Handler,
    config::Config,
    handler::Ending,
    held::Held,
    leaving::{Leaving, Step},
    link::{Link, OpenError},
    progress::Board,
    run_name::RunName,
};
use crate::{Pods, backoff::Backoff, pods::Tried};

const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
// When nothing else is due.
const IDLE: Duration = Duration::from_secs(3_600);
// With nothing left to report, this long is tried to close the session. It expires by itself otherwise.
const GOODBYE_MAX: Duration = Duration::from_secs(5);
const ENDINGS_MAX: usize = 512;

/// A worker at work.
pub(super) struct Serving<H> {
    pods: Pods,
    config: Config,
    session: Uuid,
    handler: Arc<H>,
    held: Held,
    board: Arc<Board>,
    shutting_down: CancellationToken,
    // Bounded by the slots: each started handler sends once.
    ended_sender: UnboundedSender<(RunName, Ending)>,
    ended: UnboundedReceiver<(RunName, Ending)>,
    link: Option<Link>,
    connecting: Option<BoxFuture<'static, Result<Link, OpenError>>>,
    connect_at: Instant,
    tried: Tried,
    backoff: Backoff,
    warned_at: Option<Instant>,
    said_hello: bool,
    progress_at: Option<Instant>,
    progress_sent_at: Option<Instant>,
    leaving: Option<Leaving>,
    goodbye_until: Option<Instant>,
    done: bool,
}

impl<H: Handler> Serving<H> {
    pub fn new(pods: Pods, config: Config, session: Uuid, handler: H) -> Self {
        let (ended_sender, ended) = mpsc::unbounded_channel();
        Self {
            held: Held::new(config.stop_grace),
            pods,
            config,
            session,
            handler: Arc::new(handler),
            board: Arc::default(),
            shutting_down: CancellationToken::new(),
            ended_sender,
            ended,
            link: None,
            connecting: None,
            connect_at: Instant::now(),
            tried: Tried::default(),
            backoff: Backoff::default(),
            warned_at: None,
            said_hello: false,
            progress_at: None,
            progress_sent_at: None,
            leaving: None,
            goodbye_until: None,
            done: false,
        }
    }

    /// Works until `shutdown`, and then until everything is told or the grace period is over.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<()> {
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        let mut endings = Vec::with_capacity(ENDINGS_MAX);
        let board = Arc::clone(&self.board);
        loop {
            self.send();
            if self.done {
                return Ok(());
            }
            let wake_at = self.wake_at();
            if timer.deadline() != wake_at {
                timer.as_mut().reset(wake_at);
            }
            let (responses, requests) = match &mut self.link {
                Some(link) => (Some(&mut link.responses), Some(&link.requests).filter(|_| !link.outgoing.is_empty())),
                None => (None, None),
            };
            tokio::select! {
                () = shutdown.cancelled(), if self.leaving.is_none() => self.leave(),
                received = receive(responses) => self.received(received),
                open = room(requests) => if !open {
                    // The answers say why, or nothing comes any more: silence ends it.
                    self.lost("the pod does not read any more", None);
                },
                opened = finish(&mut self.connecting) => {
                    self.connecting = None;
                    self.opened(opened)?;
                }
                _ = self.ended.recv_many(&mut endings, ENDINGS_MAX) => {
                    for (name, ending) in endings.drain(..) {
                        self.end(name, ending);
                    }
                }
                () = board.changed(), if self.progress_at.is_none() => {
                    let earliest = self.progress_sent_at.map(|sent_at| sent_at + PROGRESS_INTERVAL);
                    self.progress_at = Some(earliest.unwrap_or_else(Instant::now));
                }
                () = &mut timer => self.on_time(Instant::now()),
            }
        }
    }

    /// Hands the stream whatever it can take now.
    fn send(&mut self) {
        if self.leaving.is_some() && self.held.is_empty() {
            self.say_goodbye();
        }
        let Some(link) = &mut self.link else { return };
        while link.requests.capacity() > 0 {
            let Some(message) = link.outgoing.next(&self.held) else { break };
            if link.requests.try_send(message).is_err() {
                // The stream is gone, what was in it with it: the next one begins anew.
                break;
            }
        }
    }

    /// Nothing is held any more: the session can be closed.
    fn say_goodbye(&mut self) {
        let now = Instant::now();
        if !self.said_hello {
            self.done = true;
            return;
        }
        self.goodbye_until.get_or_insert(now + GOODBYE_MAX);
        if let Some(link) = &mut self.link
            && link.farewell_by.is_none()
        {
            link.outgoing.goodbye = true;
            link.farewell_by = Some(now + streams::FAREWELL_TIMEOUT);
        }
    }

    fn end(&mut self, name: RunName, ending: Ending) {
        if self.held.end(name, ending)
            && let Some(link) = &mut self.link
        {
            link.outgoing.push_result(name);
        }
    }

    /// The shutdown begins: no more work.
    fn leave(&mut self) {
        tracing::info!(
            running = self.held.running(),
            grace_period_s = self.config.grace_period.as_secs_f64(),
            "The worker shuts down"
        );
        self.shutting_down.cancel();
        self.leaving = Some(Leaving::new(Instant::now(), self.config.grace_period, self.config.stop_grace));
        if let Some(link) = &mut self.link {
            link.outgoing.slots = Some(v1::Slots { slots: 0, bytes: 0 });
        }
    }

    fn wake_at(&self) -> Instant {
        let link = self.link.as_ref();
        let wants_stream = self.connecting.is_none() && link.is_none_or(|link| link.draining);
        [
            self.held.check_at(),
            wants_stream.then_some(self.connect_at),
            link.map(|link| link.silence_check_at),
            link.and_then(|link| link.farewell_by),
            self.progress_at.filter(|_| link.is_some_and(|link| !link.outgoing.has_reports())),
            self.leaving.as_ref().and_then(Leaving::next_at),
            self.goodbye_until,
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or_else(|| Instant::now() + IDLE)
    }

    fn on_time(&mut self, now: Instant) {
        self.held.check(now);
        self.check_stream(now);
        if self.progress_at.is_some_and(|at| now >= at) {
            self.send_progress(now);
        }
        while let Some(step) = self.leaving.as_mut().and_then(|leaving| leaving.next_due(now)) {
            match step {
                Step::Stop => self.held.stop_all(now),
                Step::Abort => self.held.abort_all(),
                Step::HandBack => {
                    for name in self.held.hand_back_all() {
                        tracing::warn!(run = %name, "A handler blocks its thread and cannot be aborted; its run is handed back");
                        if let Some(link) = &mut self.link {
                            link.outgoing.push_result(name);
                        }
                    }
                }
                Step::End => {
                    tracing::warn!(
                        held = self.held.len(),
                        "The grace period is over before everything was acknowledged"
                    );
                    self.done = true;
                }
            }
        }
        if self.goodbye_until.is_some_and(|until| now >= until) {
            tracing::warn!("No pod has closed the session in time; it expires by itself");
            self.done = true;
        }
    }

    fn send_progress(&mut self, now: Instant) {
        // Without a stream, or while it is slow, the last progress of each run waits on the board.
        let Some(link) = self.link.as_mut().filter(|link| !link.outgoing.has_reports()) else { return };
        self.progress_at = None;
        self.progress_sent_at = Some(now);
        link.outgoing.push_reports(self.board.take(|name| self.held.is_running(name)));
    }
}

async fn receive(responses: Option<&mut Streaming<v1::WorkResponse>>) -> Result<Option<v1::WorkResponse>, Status> {
    match responses {
        Some(responses) => responses.message().await,
        None => pending().await,
    }
}

/// Waits until the stream can take a message; false if it never will.
async fn room(requests: Option<&mpsc::Sender<v1::WorkRequest>>) -> bool {
    match requests {
        Some(requests) => requests.reserve().await.is_ok(),
        None => pending().await,
    }
}

async fn finish<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}
