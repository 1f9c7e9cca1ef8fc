//! The server that a client command talks to.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use taskyard_client::{Client, Pods, Token};
use taskyard_runtime::config::{Problems, Secret, TokenArgs};
use tokio::time::Instant;

use crate::{exit::Usage, output::Output};

/// Where `taskyard up` serves.
pub const URL_DEFAULT: &str = "http://127.0.0.1:8080";

/// How long the first contact may take. Later calls wait longer: a server that was there comes back.
const CONTACT_WITHIN: Duration = Duration::from_secs(5);

/// Where the server is, and how answers are shown.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// The server: a gateway, or a pod of the tasks service
    #[arg(
        long,
        global = true,
        env = "TASKYARD_URL",
        default_value = URL_DEFAULT,
        value_name = "URL",
        help_heading = "Server"
    )]
    url: String,
    /// The server's token
    #[arg(
        long,
        global = true,
        env = "TASKYARD_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        help_heading = "Server"
    )]
    token: Option<Secret>,
    /// A file that holds the token
    #[arg(long, global = true, env = "TASKYARD_TOKEN_FILE", value_name = "FILE", help_heading = "Server")]
    token_file: Option<PathBuf>,
    /// For scripts: one JSON document a line, with the fields of REST
    #[arg(long, global = true, help_heading = "Server")]
    json: bool,
}

impl ServerArgs {
    /// Standard output in the form that is asked for.
    pub fn output(&self) -> Output {
        Output::new(self.json)
    }

    /// A client that has reached the server.
    pub async fn connect(&self) -> Result<Client> {
        let mut problems = Problems::default();
        let token = TokenArgs { token: self.token.clone(), token_file: self.token_file.clone() }.check(&mut problems);
        problems.finish(Some(()))?;
        // The client's errors name the field `url`.
        let pods = Pods::connect([&self.url], Token::maybe(token.expose())?)
            .map_err(|error| Usage::error(format!("--{}", error.message)))?;
        pods.pick(Instant::now() + CONTACT_WITHIN).await.with_context(|| {
            format!("no server answers at {}; `taskyard up` starts one, --url or TASKYARD_URL names another", self.url)
        })?;
        Ok(Client::new(pods))
    }
}
