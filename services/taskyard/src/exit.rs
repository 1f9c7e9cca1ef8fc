//! How a command ends: 0 it did what it was asked to, 1 it failed, 2 it cannot be understood.

use std::process::ExitCode;

use taskyard_core::Error;
use taskyard_runtime::config::WrongConfig;

use crate::output::{Closed, note};

/// What a command gives back: success, or a failure whose reasons were already shown.
pub type Outcome = anyhow::Result<ExitCode>;

/// The command line or the configuration makes no sense: what is wrong, where, and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

impl Usage {
    /// As an error of a command.
    pub fn error(message: impl Into<String>) -> anyhow::Error {
        Self(message.into()).into()
    }
}

/// The code to exit with; tells the error if there is one.
pub fn code(outcome: Outcome) -> ExitCode {
    let error = match outcome {
        Ok(code) => return code,
        Err(error) => error,
    };
    // `taskyard task list | head`: who reads has what it wants.
    if error.is::<Closed>() {
        return ExitCode::SUCCESS;
    }
    note(&format!("error: {}", describe(&error)));
    if error.is::<Usage>() || error.is::<WrongConfig>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// An error with what lies behind it, for people.
pub fn describe(error: &anyhow::Error) -> String {
    let mut causes = Vec::new();
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<Error>() {
            causes.push(refusal(error));
            break;
        }
        causes.push(cause.to_string());
    }
    causes.join(": ")
}

/// What a server refuses: its code, and each field that is wrong.
pub fn refusal(error: &Error) -> String {
    let code = error.code.as_str();
    if error.violations.len() < 2 {
        return format!("{} ({code})", error.message);
    }
    let fields = error.violations.iter().map(|wrong| format!("\n  - {}: {}", wrong.field, wrong.message));
    format!("the input is not valid ({code}):{}", fields.collect::<String>())
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use taskyard_core::error::Violation;

    use super::*;

    #[test]
    fn an_error_names_its_code_and_every_field() {
        let mut error = Error::invalid("title", "is too long");
        assert_eq!(refusal(&error), "title: is too long (INVALID_INPUT)");
        error.violations.push(Violation { field: "priority".into(), message: "is 10".into() });
        let described = describe(&anyhow::Error::new(error).context("cannot create the task"));
        assert_eq!(
            described,
            "cannot create the task: the input is not valid (INVALID_INPUT):\n  - title: is too long\n  - priority: is 10"
        );
    }

    #[test]
    fn what_cannot_be_understood_has_a_code_of_its_own() {
        assert_eq!(code(Err(Usage::error("x"))), ExitCode::from(2));
        assert_eq!(code(Err::<ExitCode, _>(Usage("x".into())).context("y")), ExitCode::from(2));
        assert_eq!(code(Err(anyhow::anyhow!("x"))), ExitCode::FAILURE);
        assert_eq!(code(Err(Closed.into())), ExitCode::SUCCESS);
    }
}
