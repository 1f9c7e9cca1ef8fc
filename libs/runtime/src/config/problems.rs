//! Every mistake of a configuration, named at once.

use std::fmt::{self, Display};

/// Collects what is wrong with a configuration.
#[derive(Debug, Default)]
pub struct Problems(Vec<String>);

impl Problems {
    /// Keeps a mistake: a sentence that names the flag or variable and says what would be right.
    pub fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    /// The value if it is good; otherwise the mistake is kept.
    pub fn take<T, E: Display>(&mut self, checked: Result<T, E>) -> Option<T> {
        checked.map_err(|error| self.add(format!("{error:#}"))).ok()
    }

    /// Whether a mistake names `name`.
    pub(super) fn mentions(&self, name: &str) -> bool {
        self.0.iter().any(|problem| problem.starts_with(name))
    }

    /// The checked value.
    ///
    /// # Errors
    /// If anything was wrong.
    pub fn finish<T>(mut self, checked: Option<T>) -> Result<T, WrongConfig> {
        match checked {
            Some(checked) if self.0.is_empty() => Ok(checked),
            checked => {
                if checked.is_none() && self.0.is_empty() {
                    self.add("it cannot be read");
                }
                Err(WrongConfig(self.0))
            }
        }
    }
}

/// A configuration that cannot be run with.
#[derive(Debug, thiserror::Error)]
pub struct WrongConfig(Vec<String>);

impl Display for WrongConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [problem] => write!(f, "the configuration is wrong: {problem}"),
            problems => {
                write!(f, "the configuration has {} mistakes:", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_are_named() {
        let mut problems = Problems::default();
        problems.add("--a is missing");
        assert_eq!(problems.take(Err::<(), _>("--b is 0")), None);
        assert_eq!(problems.take(Ok::<_, String>(1)), Some(1));
        let error = problems.finish(Some(())).unwrap_err();
        assert_eq!(error.to_string(), "the configuration has 2 mistakes:\n  - --a is missing\n  - --b is 0");
        assert!(Problems::default().finish(Some(1)).is_ok());
        assert!(Problems::default().finish(None::<()>).is_err());
    }
}
