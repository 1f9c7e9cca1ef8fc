//! What an import tells.

use anyhow::Result;
use indicatif::ProgressBar;

use super::{line::Bad, send::Answer};
use crate::{
    json::{Imported, LineError, Reason},
    output::{Output, note},
    text::clean,
};

/// Counts, and tells bad lines as they come: on standard error for people, as JSON lines for scripts.
#[derive(Debug)]
pub struct Report {
    output: Output,
    bar: ProgressBar,
    imported: Imported,
}

impl Report {
    /// Nothing is imported yet.
    pub fn new(output: Output, bar: ProgressBar) -> Self {
        Self { output, bar, imported: Imported::default() }
    }

    /// Tells lines that are bad.
    pub fn bad_lines(&mut self, lines: &[(u64, Bad)]) -> Result<()> {
        self.imported.refused += lines.len() as u64;
        for (line, Bad { code, message }) in lines {
            if self.output.is_json() {
                self.output.json(&LineError { line: *line, error: Reason { code, message } })?;
            } else {
                self.bar.suspend(|| note(&format!("line {line}: {} ({code})", clean(message))));
            }
        }
        self.output.flush()
    }

    /// Takes in what became of a batch.
    pub fn answer(&mut self, answer: &Answer) -> Result<()> {
        self.imported.created += answer.created;
        self.imported.existing += answer.existing;
        self.bad_lines(&answer.refused)?;
        self.bar.set_message(summary(&self.imported));
        Ok(())
    }

    /// Tells what it came to.
    pub fn finish(mut self) -> Result<Imported> {
        self.bar.finish_and_clear();
        if self.output.is_json() {
            self.output.json(&self.imported)?;
        } else {
            self.output.line(&summary(&self.imported))?;
        }
        self.output.flush()?;
        Ok(self.imported)
    }
}

fn summary(imported: &Imported) -> String {
    let Imported { created, existing, refused } = imported;
    format!("{created} created, {existing} already there, {refused} refused")
}
