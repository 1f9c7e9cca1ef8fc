//! What a command says on standard error: passed on line by line, and its end kept as the reason of a failure.

use std::{collections::VecDeque, fmt};

use taskyard_core::limits;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::Mutex,
};

// Room for the words before it.
const TAIL_BYTES_MAX: usize = limits::ERROR_BYTES_MAX - 256;
// A longer line is passed on in pieces.
const LINE_BYTES_MAX: usize = 8_192;

/// Where everything is passed on to, shared by all commands: lines of several do not mix.
pub(super) struct Passed(Mutex<Box<dyn AsyncWrite + Send + Unpin>>);

/// The standard error of one command.
#[derive(Debug)]
pub(super) struct Errors {
    prefix: String,
    line: Vec<u8>,
    tail: VecDeque<u8>,
}

impl Passed {
    /// Passes on to our own standard error.
    pub fn to_stderr() -> Self {
        Self::to(tokio::io::stderr())
    }

    /// Passes on to anything.
    pub fn to(writer: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Mutex::new(Box::new(writer)))
    }

    async fn write(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut writer = self.0.lock().await;
        // Nobody reads our standard error any more: that is no reason to let the command fail.
        if writer.write_all(bytes).await.is_ok() {
            let _ = writer.flush().await;
        }
    }
}

impl Errors {
    /// `prefix` goes before each line that is passed on.
    pub fn new(prefix: String) -> Self {
        Self { prefix, line: Vec::new(), tail: VecDeque::new() }
    }

    /// Takes in what came, and passes on whole lines.
    pub async fn take(&mut self, bytes: &[u8], passed: &Passed) {
        self.tail.extend(bytes);
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES_MAX);
        self.tail.drain(..surplus);
        let mut lines = Vec::new();
        let pieces = bytes.split_inclusive(|byte| *byte == b'\n').flat_map(|line| line.chunks(LINE_BYTES_MAX));
        for piece in pieces {
            self.line.extend_from_slice(piece);
            if self.line.ends_with(b"\n") || self.line.len() >= LINE_BYTES_MAX {
                self.end_line(&mut lines);
            }
        }
        passed.write(&lines).await;
    }

    /// The end: passes on what has no line end.
    pub async fn finish(&mut self, passed: &Passed) {
        let mut lines = Vec::new();
        if !self.line.is_empty() {
            self.end_line(&mut lines);
        }
        passed.write(&lines).await;
    }

    /// The last lines.
    pub fn tail(&self) -> String {
        let bytes: Vec<_> = self.tail.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        // A line that is cut off at its beginning is left out, unless it is the only one.
        let whole = if self.tail.len() < TAIL_BYTES_MAX {
            &*text
        } else {
            text.split_once('\n').map(|(_, rest)| rest).filter(|rest| !rest.trim().is_empty()).unwrap_or(&text)
        };
        whole.trim().to_owned()
    }

    fn end_line(&mut self, lines: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.line);
        lines.extend_from_slice(self.prefix.as_bytes());
        lines.extend_from_slice(&line);
        if !line.ends_with(b"\n") {
            lines.push(b'\n');
        }
    }
}

impl fmt::Debug for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passed").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn pass(pieces: &[&[u8]]) -> (String, String) {
        let (writer, mut reader) = tokio::io::duplex(10_000_000);
        let passed = Passed::to(writer);
        let mut errors = Errors::new("[1] ".to_owned());
        for piece in pieces {
            errors.take(piece, &passed).await;
        }
        errors.finish(&passed).await;
        drop(passed);
        let mut seen = Vec::new();
        reader.read_to_end(&mut seen).await.unwrap();
        (String::from_utf8_lossy(&seen).into_owned(), errors.tail())
    }

    #[tokio::test]
    async fn lines_are_passed_on_whole() {
        let (seen, tail) = pass(&[b"a", b"b\nc\n\nd", b"", b"e"]).await;
        assert_eq!(seen, "[1] ab\n[1] c\n[1] \n[1] de\n");
        assert_eq!(tail, "ab\nc\n\nde");
        assert_eq!(pass(&[]).await, (String::new(), String::new()));
    }

    #[tokio::test]
    async fn only_the_last_lines_are_kept() {
        let many: String = (0..5_000).map(|number| format!("line {number}\n")).collect();
        let (_, tail) = pass(&[many.as_bytes()]).await;
        assert!(tail.len() <= TAIL_BYTES_MAX && tail.starts_with("line ") && tail.ends_with("line 4999"), "{tail}");
        let (seen, tail) = pass(&[&[b'x'; 20_000]]).await;
        assert_eq!(tail.len(), TAIL_BYTES_MAX);
        assert!(seen.lines().all(|line| line.len() < 2 * LINE_BYTES_MAX + 100));
    }
}
