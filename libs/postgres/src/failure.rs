//! What a failed statement means for the one who sent it: the one place that reads SQLSTATEs.

use taskyard_core::{Error, ErrorCode};

/// What a failed statement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// One of the rows cannot be stored (classes 22 and 23): find it and refuse it alone.
    BadRow,
    /// Nothing took effect and the same statement may succeed at once (class 40, lock timeouts).
    Repeat,
    /// The connection was lost or the server stops or starts (classes 08, 53 and 57): whether the statement took
    /// effect is unknown; read before writing again.
    Unknown,
    /// Our fault, or the database's state: repeating does not help.
    Fatal,
}

impl Failure {
    /// Reads an error.
    #[must_use]
    pub fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(database) => database.code().map_or(Self::Fatal, |code| Self::of_sqlstate(&code)),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unknown,
            _ => Self::Fatal,
        }
    }

    fn of_sqlstate(code: &str) -> Self {
        match code {
            // transaction_timeout, idle_in_transaction_session_timeout: ended by the server, nothing took effect
            "25P03" | "25P04" => Self::Repeat,
            // lock_not_available
            "55P03" => Self::Repeat,
            // query_canceled (a statement_timeout, or an operator): nothing took effect
            "57014" => Self::Repeat,
            // read only: the server is a standby now, a promoted one takes over
            "25006" => Self::Unknown,
            _ => match code.get(..2) {
                Some("22" | "23") => Self::BadRow,
                Some("40") => Self::Repeat,
                Some("08" | "53" | "57") => Self::Unknown,
                _ => Self::Fatal,
            },
        }
    }
}

/// The error for a caller of ours whose statement failed. Database text is logged, never shown.
#[must_use]
pub fn to_error(error: sqlx::Error) -> Error {
    match Failure::of(&error) {
        Failure::BadRow => {
            Error::new(ErrorCode::InvalidInput, "the database cannot store one of the values").with_source(error)
        }
        Failure::Repeat | Failure::Unknown => {
            Error::unavailable("the database cannot be reached now; try again").with_source(error)
        }
        Failure::Fatal => Error::internal(error),
    }
}
