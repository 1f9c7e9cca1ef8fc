//! What an import came to.

use serde::Serialize;

/// The end of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Tasks that are new.
    pub created: u64,
    /// Tasks that an earlier import had created.
    pub existing: u64,
    /// Lines that are no task, or that the server refused.
    pub refused: u64,
}

/// A bad line.
#[derive(Debug, Serialize)]
pub struct LineError<'a> {
    /// Counted from 1.
    pub line: u64,
    /// Why.
    pub error: Reason<'a>,
}

/// Why a line is bad.
#[derive(Debug, Serialize)]
pub struct Reason<'a> {
    /// The stable code.
    pub code: &'a str,
    /// For people; it names the field.
    pub message: &'a str,
}
