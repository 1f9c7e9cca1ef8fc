//! The token or key that a program shows.

use std::path::PathBuf;

use clap::Args;

use super::{Problems, Secret, read_secret};

/// The token or key to show.
#[derive(Args, Clone, Debug, Default)]
pub struct TokenArgs {
    /// The token or key to show
    #[arg(long, env = "TASKYARD_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<Secret>,
    /// A file that holds it
    #[arg(long, env = "TASKYARD_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl TokenArgs {
    /// What is given, checked; `None` if nothing is given or it is wrong.
    pub fn check(&self, problems: &mut Problems) -> Option<Secret> {
        let name = "TASKYARD_TOKEN";
        let token = read_secret(name, self.token.as_ref(), self.token_file.as_ref(), problems)?;
        if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            problems.add(format!("{name} must hold only visible ASCII characters"));
            return None;
        }
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_checked() {
        let check = |token: &str| {
            let mut problems = Problems::default();
            let token = TokenArgs { token: Some(token.into()), token_file: None }.check(&mut problems);
            problems.finish(token).map(|token| token.expose().to_owned()).map_err(|error| error.to_string())
        };
        assert_eq!(check("tyk_x").unwrap(), "tyk_x");
        assert!(check("a b").is_err() && check("ü").is_err());
    }
}
