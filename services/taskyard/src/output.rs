//! Standard output, which may be closed at any time, and notes beside it.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Stdout, Write};

use anyhow::{Context, Result};
use serde::Serialize;

/// Nobody reads standard output any more.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub struct Closed;

/// Standard output. What is written is buffered: call [`flush`](Self::flush) where somebody may wait for it.
#[derive(Debug)]
pub struct Output {
    out: BufWriter<Stdout>,
    json: bool,
}

impl Output {
    /// For people, or JSON for scripts: one document a line.
    pub fn new(json: bool) -> Self {
        Self { out: BufWriter::new(io::stdout()), json }
    }

    /// It is for scripts.
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Writes text as it is and ends the line.
    pub fn line(&mut self, text: &str) -> Result<()> {
        self.write(text.as_bytes())
    }

    /// Writes a JSON document in one line.
    pub fn json(&mut self, document: &impl Serialize) -> Result<()> {
        let text = serde_json::to_vec(document).context("cannot write JSON")?;
        self.write(&text)
    }

    /// Writes a page of things: a JSON document for each, or the lines of a table for people.
    pub fn all<T, J: Serialize>(
        &mut self,
        things: Vec<T>,
        to_json: impl Fn(T) -> J,
        to_lines: impl FnOnce(Vec<T>) -> Option<String>,
    ) -> Result<()> {
        if self.json {
            for thing in things {
                self.json(&to_json(thing))?;
            }
        } else if let Some(lines) = to_lines(things) {
            self.line(&lines)?;
        }
        self.flush()
    }

    /// Writes out what is buffered.
    pub fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(failed)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).and_then(|()| self.out.write_all(b"\n")).map_err(failed)
    }
}

/// A line for people, on standard error, so that it is never taken for a result.
pub fn note(text: &str) {
    // Where nobody listens, nobody misses it.
    let _ = writeln!(io::stderr(), "{text}");
}

/// A person looks at standard error.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

fn failed(error: io::Error) -> anyhow::Error {
    if error.kind() == ErrorKind::BrokenPipe {
        return Closed.into();
    }
    anyhow::Error::new(error).context("cannot write to standard output")
}
