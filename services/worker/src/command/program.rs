//! The command, found before any work is taken.

use std::{
    ffi::{OsStr, OsString},
    fmt, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A command that can be started, and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub path: PathBuf,
    pub arguments: Vec<OsString>,
}

impl Program {
    /// Finds the first word as a shell would: as a path if it has a slash, else in `PATH`.
    pub fn find(command: &[OsString]) -> Result<Self, String> {
        Self::find_in(command, std::env::var_os("PATH").as_deref())
    }

    fn find_in(command: &[OsString], search: Option<&OsStr>) -> Result<Self, String> {
        let Some((name, arguments)) = command.split_first().filter(|(name, _)| !name.is_empty()) else {
            return Err("the command is missing; give it after `--`".to_owned());
        };
        let shown = name.to_string_lossy();
        let path = if shown.contains('/') {
            check(Path::new(name)).map_err(|wrong| format!("the command `{shown}` {wrong}"))?
        } else {
            let folders = search.map(|search| std::env::split_paths(search).collect::<Vec<_>>()).unwrap_or_default();
            let found = folders.iter().find_map(|folder| check(&folder.join(name)).ok());
            found.ok_or_else(|| format!("the command `{shown}` is not in any folder of PATH"))?
        };
        Ok(Self { path, arguments: arguments.to_vec() })
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

fn check(path: &Path) -> Result<PathBuf, String> {
    let metadata = fs::metadata(path).map_err(|error| format!("cannot be found: {error}"))?;
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err("is not executable".to_owned());
    }
    // A relative path stays what it is today if somebody changes the folder.
    path.canonicalize().map_err(|error| format!("cannot be found: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(command: &[&str]) -> Result<Program, String> {
        let command: Vec<_> = command.iter().map(OsString::from).collect();
        Program::find_in(&command, Some(OsStr::new("/does-not-exist:/usr/bin:/bin")))
    }

    #[test]
    fn a_command_is_found_as_a_shell_finds_it() {
        let found = find(&["sh", "-c", "true"]).expect("every machine has it");
        assert!(found.path.is_absolute());
        assert_eq!(found.arguments, ["-c", "true"]);
        assert_eq!(find(&["/bin/sh"]).expect("there").path, found.path);
    }

    #[test]
    fn what_cannot_be_started_is_named() {
        for (command, part) in [
            (&[][..], "missing"),
            (&[""], "missing"),
            (&["does-not-exist"], "PATH"),
            (&["/does/not/exist"], "cannot be found"),
            (&["/usr"], "not a file"),
            (&["/etc/passwd"], "not executable"),
        ] {
            let error = find(command).expect_err("wrong");
            assert!(error.contains(part), "{command:?}: {error}");
        }
    }
}
