//! Errors as their users see them: a stable code, a sentence, and which field is wrong. They know nothing of HTTP or
//! gRPC; the one table from code to status stands in `runtime`.

use std::{fmt, time::Duration};

/// A stable code. Programs branch on it, so it never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// A field breaks a limit or cannot be read.
    InvalidInput,
    /// The whole request is larger than allowed.
    TooLarge,
    /// There is no such task in this namespace.
    TaskNotFound,
    /// There is no such queue in this namespace.
    QueueNotFound,
    /// There is no such namespace, or the caller is not a member.
    NamespaceNotFound,
    /// There is no such user, member, sign-in or invitation.
    UserNotFound,
    /// There is no such key in this namespace.
    KeyNotFound,
    /// There is no such schedule in this namespace.
    ScheduleNotFound,
    /// The path or method does not exist.
    RouteNotFound,
    /// The id is taken by a task with other content.
    IdTaken,
    /// The name is taken: a namespace's, or a schedule's by one with other content; or the e-mail address is.
    NameTaken,
    /// The idempotency key was used with other content.
    IdempotencyKeyReused,
    /// The task has another version than the one that the change was made for.
    VersionMismatch,
    /// The task's state does not allow this.
    WrongState,
    /// No token, or one that is not valid.
    Unauthenticated,
    /// The token does not allow this.
    Forbidden,
    /// The request did not come as this server takes it (host, content type, method).
    Unsupported,
    /// A limit of the server or the namespace is reached; later it works again.
    Exhausted,
    /// A part of the server cannot be reached now; later it works again.
    Unavailable,
    /// The caller's deadline passed first. Whether the command took effect is not known.
    DeadlineExceeded,
    /// Our fault.
    Internal,
}

impl ErrorCode {
    /// All codes, for documents and tests.
    pub const ALL: [Self; 21] = [
        Self::InvalidInput,
        Self::TooLarge,
        Self::TaskNotFound,
        Self::QueueNotFound,
        Self::NamespaceNotFound,
        Self::UserNotFound,
        Self::KeyNotFound,
        Self::ScheduleNotFound,
        Self::RouteNotFound,
        Self::IdTaken,
        Self::NameTaken,
        Self::IdempotencyKeyReused,
        Self::VersionMismatch,
        Self::WrongState,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Unsupported,
        Self::Exhausted,
        Self::Unavailable,
        Self::DeadlineExceeded,
        Self::Internal,
    ];

    /// The code as it is written in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "INVALID_INPUT",
            Self::TooLarge => "TOO_LARGE",
            Self::TaskNotFound => "TASK_NOT_FOUND",
            Self::QueueNotFound => "QUEUE_NOT_FOUND",
            Self::NamespaceNotFound => "NAMESPACE_NOT_FOUND",
            Self::UserNotFound => "USER_NOT_FOUND",
            Self::KeyNotFound => "KEY_NOT_FOUND",
            Self::ScheduleNotFound => "SCHEDULE_NOT_FOUND",
            Self::RouteNotFound => "ROUTE_NOT_FOUND",
            Self::IdTaken => "ID_TAKEN",
            Self::NameTaken => "NAME_TAKEN",
            Self::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::VersionMismatch => "VERSION_MISMATCH",
            Self::WrongState => "WRONG_STATE",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::Unsupported => "UNSUPPORTED",
            Self::Exhausted => "EXHAUSTED",
            Self::Unavailable => "UNAVAILABLE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Internal => "INTERNAL",
        }
    }

    /// The code that is written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// The same request may succeed later.
    #[must_use]
    pub const fn retryable(self) -> bool {
        matches!(self, Self::Exhausted | Self::Unavailable | Self::DeadlineExceeded)
    }
}

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's name, with a path for nested ones (`labels.team`, `tasks[3].title`).
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// An error for the caller.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    /// The stable code.
    pub code: ErrorCode,
    /// One sentence for people.
    pub message: String,
    /// The fields that are wrong.
    pub violations: Vec<Violation>,
    /// When it may be tried again.
    pub retry_after: Option<Duration>,
    /// What lies behind it. Logged, never shown to a client.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error {
    /// An error without details.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), violations: Vec::new(), retry_after: None, source: None }
    }

    /// One field is wrong.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        let violation = Violation { field: field.into(), message: message.into() };
        let mut error = Self::new(ErrorCode::InvalidInput, format!("{}: {}", violation.field, violation.message));
        error.violations.push(violation);
        error
    }

    /// No such task in this namespace.
    pub fn task_not_found(id: impl fmt::Display) -> Self {
        Self::new(ErrorCode::TaskNotFound, format!("there is no task {id}"))
    }

    /// Something of ours cannot be reached; the caller should try again after a second.
    pub fn unavailable(message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorCode::Unavailable, message);
        error.retry_after = Some(Duration::from_secs(1));
        error
    }

    /// Our fault; the cause is logged and not shown.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(ErrorCode::Internal, "an internal error; it has been logged").with_source(source)
    }

    /// Adds what lies behind it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error for a field inside `prefix`.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        for violation in &mut self.violations {
            violation.field = format!("{prefix}.{}", violation.field);
        }
        self
    }
}
