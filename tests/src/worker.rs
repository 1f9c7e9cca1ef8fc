//! A worker that speaks the protocol by hand, so that a test decides what it does at every step.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context, Result, bail};
use taskyard_proto::v1::{
    Assignment, Completed, Failed, Goodbye, Hello, Pong, Result as RunResult, Results, Returned, RunName, Slots, Stop,
    Stopped, Verdict, Welcome, WorkRequest, WorkResponse, result::Outcome, work_request::Message as Say,
    work_response::Message as Hear, work_service_client::WorkServiceClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};
use uuid::Uuid;

use crate::key::{KEY, Shown};

/// How a worker presents itself.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    pub session: Uuid,
    pub queues: Vec<String>,
    pub kinds: Vec<String>,
    pub slots: u32,
    pub bytes: u64,
    pub held: Vec<(String, u32)>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            session: Uuid::new_v4(),
            queues: Vec::new(),
            kinds: vec!["noop".to_owned()],
            slots: 10,
            bytes: 0,
            held: Vec::new(),
        }
    }
}

/// An open stream.
pub struct RawWorker {
    pub welcome: Welcome,
    pub session: Uuid,
    outgoing: mpsc::Sender<WorkRequest>,
    incoming: Streaming<WorkResponse>,
    assigned: VecDeque<Assignment>,
    chunks: std::collections::HashMap<(String, u32), Vec<u8>>,
    pub stops: Vec<Stop>,
    pub acks: Vec<(String, u32, Verdict)>,
    pub drained: bool,
    pub farewell: bool,
    answers_pings: bool,
}

impl RawWorker {
    /// Says hello and waits for the welcome.
    pub async fn open(url: &str, options: WorkerOptions) -> Result<Self> {
        Self::open_as(url, Shown(KEY), options).await
    }

    /// The same with another key.
    pub async fn open_as(url: &str, shown: Shown, options: WorkerOptions) -> Result<Self> {
        let channel = Channel::from_shared(url.to_owned())?.connect_timeout(Duration::from_secs(2)).connect().await?;
        let mut client = WorkServiceClient::with_interceptor(channel, shown).max_decoding_message_size(32 << 20);
        let (outgoing, receiver) = mpsc::channel(1_000);
        let session = options.session;
        let hello = Hello {
            session: session.to_string(),
            name: "test".to_owned(),
            queues: options.queues,
            kinds: options.kinds,
            slots: options.slots,
            bytes: options.bytes,
            held: options.held.into_iter().map(|(task_id, run)| RunName { task_id, run }).collect(),
        };
        outgoing.send(WorkRequest { message: Some(Say::Hello(hello)) }).await?;
        let mut incoming = client.work(ReceiverStream::new(receiver)).await?.into_inner();
        let first = tokio::time::timeout(Duration::from_secs(15), incoming.message()).await.context("no welcome")??;
        let Some(WorkResponse { message: Some(Hear::Welcome(welcome)) }) = first else {
            bail!("not a welcome: {first:?}")
        };
        Ok(Self {
            welcome,
            session,
            outgoing,
            incoming,
            assigned: VecDeque::new(),
            chunks: Default::default(),
            stops: Vec::new(),
            acks: Vec::new(),
            drained: false,
            farewell: false,
            answers_pings: true,
        })
    }

    /// From now on it gives no sign of life.
    pub fn fall_silent(&mut self) {
        self.answers_pings = false;
    }

    /// Takes in the next message. False: the stream has ended.
    pub async fn step(&mut self) -> Result<bool> {
        let Some(response) = self.incoming.message().await? else { return Ok(false) };
        match response.message {
            Some(Hear::Assignments(assignments)) => {
                for mut run in assignments.runs {
                    if run.chunked_bytes > 0 {
                        let bytes = self.chunks.remove(&(run.task_id.clone(), run.run)).unwrap_or_default();
                        anyhow::ensure!(bytes.len() as u64 == run.chunked_bytes, "chunks are missing");
                        run.payload = bytes.into();
                    }
                    self.assigned.push_back(run);
                }
            }
            Some(Hear::Chunk(chunk)) => {
                self.chunks.entry((chunk.task_id, chunk.run)).or_default().extend_from_slice(&chunk.data);
            }
            Some(Hear::Acks(acks)) => {
                for ack in acks.acks {
                    let verdict = ack.verdict();
                    self.acks.push((ack.task_id, ack.run, verdict));
                }
            }
            Some(Hear::Stops(stops)) => self.stops.extend(stops.stops),
            Some(Hear::Ping(_)) if self.answers_pings => {
                // Where the stream has ended meanwhile, its next message says why.
                let _ = self.say(Say::Pong(Pong {})).await;
            }
            Some(Hear::Drain(_)) => self.drained = true,
            Some(Hear::Farewell(_)) => self.farewell = true,
            _ => {}
        }
        Ok(true)
    }

    /// The next run, if one comes in time.
    pub async fn next_run(&mut self, within: Duration) -> Result<Option<Assignment>> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            if let Some(run) = self.assigned.pop_front() {
                return Ok(Some(run));
            }
            match tokio::time::timeout_at(deadline, self.step()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => bail!("the stream has ended"),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Ok(None),
            }
        }
    }

    /// So many runs.
    pub async fn runs(&mut self, count: usize, within: Duration) -> Result<Vec<Assignment>> {
        let deadline = tokio::time::Instant::now() + within;
        let mut runs = Vec::new();
        while runs.len() < count {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let run = self.next_run(left).await?;
            runs.push(run.with_context(|| format!("only {} of {count} runs came", runs.len()))?);
        }
        Ok(runs)
    }

    /// Listens for so long; what comes is kept.
    pub async fn listen(&mut self, time: Duration) -> Result<()> {
        let deadline = tokio::time::Instant::now() + time;
        while let Ok(stepped) = tokio::time::timeout_at(deadline, self.step()).await {
            if !stepped? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Runs that came and were not asked for yet.
    pub fn waiting(&self) -> usize {
        self.assigned.len()
    }

    pub async fn say(&self, message: Say) -> Result<()> {
        self.outgoing.send(WorkRequest { message: Some(message) }).await.context("the stream has ended")
    }

    pub async fn report(&self, run: &Assignment, outcome: Outcome) -> Result<()> {
        self.report_all(vec![RunResult { task_id: run.task_id.clone(), run: run.run, outcome: Some(outcome) }]).await
    }

    pub async fn report_all(&self, results: Vec<RunResult>) -> Result<()> {
        self.say(Say::Results(Results { results })).await
    }

    pub async fn complete(&self, run: &Assignment) -> Result<()> {
        self.report(run, Outcome::Completed(Completed { result: "null".into(), chunked_bytes: 0 })).await
    }

    pub async fn fail(&self, run: &Assignment, error: &str) -> Result<()> {
        self.report(run, Outcome::Failed(Failed { error: error.to_owned(), ..Failed::default() })).await
    }

    pub async fn hand_back(&self, run: &Assignment) -> Result<()> {
        self.report(run, Outcome::Returned(Returned {})).await
    }

    pub async fn stopped(&self, run: &Assignment) -> Result<()> {
        self.report(run, Outcome::Stopped(Stopped {})).await
    }

    pub async fn slots(&self, slots: u32) -> Result<()> {
        self.say(Say::Slots(Slots { slots, bytes: 0 })).await
    }

    pub async fn goodbye(&mut self) -> Result<()> {
        self.say(Say::Goodbye(Goodbye {})).await?;
        while !self.farewell {
            anyhow::ensure!(self.step().await?, "the stream ended without a farewell");
        }
        Ok(())
    }

    /// The verdict on a run.
    pub async fn verdict(&mut self, run: &Assignment, within: Duration) -> Result<Verdict> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let found = self.acks.iter().position(|(id, number, _)| *id == run.task_id && *number == run.run);
            if let Some(at) = found {
                return Ok(self.acks.remove(at).2);
            }
            let stepped = tokio::time::timeout_at(deadline, self.step()).await.context("no acknowledgement came")?;
            anyhow::ensure!(stepped?, "the stream ended before the acknowledgement");
        }
    }
}
