//! A watcher that keeps what it is told.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use taskyard_client::{Client, Pods, WatchMessage, v1::WatchTasksRequest};
use taskyard_core::Position;
use taskyard_testkit::eventually;
use tokio::task::JoinHandle;

use crate::token;

/// Watches all events by way of some pods.
#[derive(Debug)]
pub struct Listener {
    heard: Arc<Mutex<Heard>>,
    listening: JoinHandle<()>,
}

/// What a listener was told.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Where it was opened.
    pub opened: Option<Position>,
    /// The events' positions, as they came.
    pub positions: Vec<Position>,
    pub progress: usize,
    pub resets: Vec<Position>,
    pub error: Option<String>,
}

impl Listener {
    /// Listens from now on, or from a position, and returns when the watch is open or was told to reset.
    pub async fn open(urls: &[String], position: Option<Position>) -> Result<Self> {
        let client = Client::new(Pods::connect(urls, token())?);
        let position = position.map(|position| position.to_string()).unwrap_or_default();
        let mut watch = client.watch(WatchTasksRequest { position, progress: true, ..WatchTasksRequest::default() });
        let heard = Arc::new(Mutex::new(Heard::default()));
        let noted = heard.clone();
        let listening = tokio::spawn(async move {
            loop {
                let message = watch.next().await;
                let mut heard = noted.lock().unwrap_or_else(PoisonError::into_inner);
                match message {
                    Ok(WatchMessage::Opened { position }) => heard.opened = position.parse().ok(),
                    Ok(WatchMessage::Event(event)) => heard.positions.extend(event.position.parse::<Position>()),
                    Ok(WatchMessage::Progress(_)) => heard.progress += 1,
                    Ok(WatchMessage::Reset { position }) => heard.resets.extend(position.parse::<Position>()),
                    Err(error) => {
                        heard.error = Some(error.to_string());
                        return;
                    }
                }
            }
        });
        let listener = Self { heard, listening };
        eventually(Duration::from_secs(20), "the watch is open", async || {
            let heard = listener.heard();
            (heard.opened.is_some() || !heard.resets.is_empty() || heard.error.is_some()).then_some(())
        })
        .await?;
        Ok(listener)
    }

    pub fn heard(&self) -> Heard {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has heard of this position.
    pub async fn reaches(&self, position: Position, within: Duration) -> Result<Heard> {
        let reached = eventually(within, format!("the watch hears {position}"), async || {
            let heard = self.heard();
            heard.positions.last().is_some_and(|last| *last >= position).then_some(heard)
        });
        reached.await.with_context(|| {
            let heard = self.heard();
            format!("last {:?}, resets {:?}, error {:?}", heard.positions.last(), heard.resets, heard.error)
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
