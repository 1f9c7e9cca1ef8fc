//! Values that never show.

use std::{convert::Infallible, fmt, fs, path::PathBuf, str::FromStr};

use super::Problems;

/// A text that is never printed: a password, a token, a URL with either.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself. It must not go into a log or an answer.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A secret given as `name` (a variable such as `DATABASE_URL`) or as a file that holds it (`<name>_FILE`). `None` if it
/// is given in neither way or wrong; an empty variable counts as not given.
pub fn read_secret(
    name: &str,
    value: Option<&Secret>,
    file: Option<&PathBuf>,
    problems: &mut Problems,
) -> Option<Secret> {
    let value = value.filter(|value| !value.expose().is_empty());
    let file = file.filter(|file| !file.as_os_str().is_empty());
    match (value, file) {
        (None, None) => None,
        (Some(value), None) => Some(value.clone()),
        (None, Some(file)) => match fs::read_to_string(file) {
            Ok(text) if text.trim().is_empty() => {
                problems.add(format!("{name}_FILE: {} is empty", file.display()));
                None
            }
            // Editors and `echo` end a file with a line break that is not part of the secret.
            Ok(text) => Some(text.trim().into()),
            Err(error) => {
                problems.add(format!("{name}_FILE: cannot read {}: {error}", file.display()));
                None
            }
        },
        (Some(_), Some(_)) => {
            problems.add(format!("{name} and {name}_FILE are both given; leave one out"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Some(Secret::from("hunter2"))), "Some(***)");
    }

    #[test]
    fn it_comes_from_a_variable_or_a_file() {
        let path = std::env::temp_dir().join(format!("taskyard-secret-{}", std::process::id()));
        fs::write(&path, "from-file\n").unwrap();
        let given = Secret::from("given");
        let mut problems = Problems::default();
        assert_eq!(read_secret("X", Some(&given), None, &mut problems), Some(given.clone()));
        assert_eq!(read_secret("X", Some(&"".into()), Some(&path), &mut problems), Some("from-file".into()));
        assert_eq!(read_secret("X", None, None, &mut problems), None);
        assert!(problems.finish(Some(())).is_ok());

        let mut problems = Problems::default();
        assert_eq!(read_secret("X", Some(&given), Some(&path), &mut problems), None);
        fs::write(&path, " \n").unwrap();
        assert_eq!(read_secret("X", None, Some(&path), &mut problems), None);
        fs::remove_file(&path).unwrap();
        assert_eq!(read_secret("X", None, Some(&path), &mut problems), None);
        let text = problems.finish(Some(())).unwrap_err().to_string();
        assert!(text.starts_with("the configuration has 3 mistakes"), "{text}");
    }
}
