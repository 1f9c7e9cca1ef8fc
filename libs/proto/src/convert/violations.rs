//! All that is wrong with a request, named at once.

use taskyard_core::{Error, ErrorCode, Result, error::Violation};

/// Collects what is wrong.
#[derive(Default)]
pub(super) struct Violations(Vec<Violation>);

impl Violations {
    /// The value if it is good; otherwise what is wrong is kept and `None` returned.
    pub(super) fn take<T>(&mut self, checked: Result<T>) -> Option<T> {
        match checked {
            Ok(value) => Some(value),
            Err(error) if error.violations.is_empty() => {
                self.0.push(Violation { field: String::new(), message: error.message });
                None
            }
            Err(error) => {
                self.0.extend(error.violations);
                None
            }
        }
    }

    /// Keeps what is wrong with a field.
    pub(super) fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(Violation { field: field.to_owned(), message: message.into() });
    }

    /// Nothing if all was good, otherwise one error that names it all.
    pub(super) fn finish(self) -> Result<()> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let more = match self.0.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let message = format!("{}: {}{more}", first.field, first.message);
        Err(Error { violations: self.0, ..Error::new(ErrorCode::InvalidInput, message) })
    }
}
