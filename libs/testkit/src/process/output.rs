//! What a process says.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStderr, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Older lines are forgotten.
const LINES_KEPT_MAX: usize = 50_000;

/// How many lines an error shows.
const TAIL_LINES: usize = 50;

/// How long the last lines of an ended process may take to arrive. Its children may keep the pipe open for longer.
const END_WITHIN: Duration = Duration::from_millis(500);

/// The lines of a process, gathered by two threads, so that it never waits for a reader.
#[derive(Debug)]
pub(super) struct Output {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// Disconnected when both threads have seen the end.
    end: Mutex<Receiver<()>>,
}

impl Output {
    pub(super) fn capture(output: Option<ChildStdout>, errors: Option<ChildStderr>) -> Self {
        let lines = Arc::default();
        let (reading, end) = channel();
        if let Some(output) = output {
            gather(output, Arc::clone(&lines), reading.clone());
        }
        if let Some(errors) = errors {
            gather(errors, Arc::clone(&lines), reading);
        }
        Self { lines, end: Mutex::new(end) }
    }

    pub(super) fn all(&self) -> String {
        self.lines().iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    pub(super) fn tail(&self) -> String {
        let lines = self.lines();
        let skipped = lines.len().saturating_sub(TAIL_LINES);
        lines.iter().skip(skipped).map(|line| format!("  {line}\n")).collect()
    }

    /// The first line that contains `text`.
    pub(super) fn find(&self, text: &str) -> Option<String> {
        self.lines().iter().find(|line| line.contains(text)).cloned()
    }

    pub(super) async fn wait_for_end(&self) {
        let deadline = tokio::time::Instant::now() + END_WITHIN;
        while !self.has_ended_within(Duration::ZERO) && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(super) fn wait_a_moment_for_end(&self) {
        self.has_ended_within(END_WITHIN);
    }

    fn has_ended_within(&self, within: Duration) -> bool {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.recv_timeout(within) == Err(RecvTimeoutError::Disconnected)
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gather(from: impl Read + Send + 'static, lines: Arc<Mutex<VecDeque<String>>>, reading: Sender<()>) {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == LINES_KEPT_MAX {
                lines.pop_front();
            }
            lines.push_back(text);
            line.clear();
        }
        drop(reading);
    });
}
