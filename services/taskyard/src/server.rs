//! The server that a client command talks to, and what it is shown.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use taskyard_client::{Client, Pods, Token};
use taskyard_runtime::config::{Problems, Secret, TokenArgs};
use tokio::time::Instant;

use crate::{
    exit::Usage,
    output::Output,
    profile::{self, Credentials, Profile, Profiles},
};

/// Where `taskyard up` serves.
pub const URL_DEFAULT: &str = "http://127.0.0.1:8080";

/// How long the first contact may take. Later calls wait longer: a server that was there comes back.
const CONTACT_WITHIN: Duration = Duration::from_secs(5);

/// Where the server is, and how answers are shown.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    #[command(flatten)]
    place: ServerPlace,
    /// For scripts: one JSON document a line, with the fields of REST
    #[arg(long, global = true, help_heading = "Server")]
    json: bool,
}

/// Where the server is, and what it is shown.
#[derive(Args, Clone, Debug)]
pub struct ServerPlace {
    /// The server: a gateway, or a pod of the tasks service [default: the profile's, or http://127.0.0.1:8080]
    #[arg(long, global = true, env = "TASKYARD_URL", value_name = "URL", help_heading = "Server")]
    url: Option<String>,
    /// The token or key to show
    #[arg(
        long,
        global = true,
        env = "TASKYARD_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        help_heading = "Server"
    )]
    token: Option<Secret>,
    /// A file that holds it
    #[arg(long, global = true, env = "TASKYARD_TOKEN_FILE", value_name = "FILE", help_heading = "Server")]
    token_file: Option<PathBuf>,
    /// A profile of `taskyard login` [default: that of `taskyard up` in this folder, or the last one used to log in]
    #[arg(long, global = true, env = "TASKYARD_PROFILE", value_name = "NAME", help_heading = "Server")]
    profile: Option<String>,
}

/// A server, and what it is shown.
struct Found {
    url: String,
    token: Option<String>,
    /// The profile whose sign-in is to be refreshed, and when its token ends.
    refreshed: Option<(String, i64)>,
}

impl ServerArgs {
    /// Standard output in the form that is asked for.
    pub fn output(&self) -> Output {
        Output::new(self.json)
    }

    /// A client that has reached the server.
    pub async fn connect(&self) -> Result<Client> {
        self.place.connect().await
    }

    /// The name of the profile that is used.
    ///
    /// # Errors
    /// If a token is given, or nobody has logged in.
    pub fn profile_in_use(&self) -> Result<String> {
        if self.place.token.is_some() || self.place.token_file.is_some() {
            return Err(Usage::error("a token is bound to its namespace; log in for another one"));
        }
        let current = || Ok(Profiles::load()?.current);
        let name = self.place.profile.clone().map_or_else(current, |name| anyhow::Ok(Some(name)))?;
        name.ok_or_else(|| Usage::error("nobody has logged in; `taskyard login` does"))
    }
}

impl ServerPlace {
    /// A client that has reached the server.
    pub async fn connect(&self) -> Result<Client> {
        let found = self.find().await?;
        let token = Token::maybe(found.token.as_deref())?;
        if let Some((profile, expires_at)) = found.refreshed {
            tokio::spawn(profile::keep_fresh(profile, token.clone(), expires_at));
        }
        reach(&found.url, token).await
    }

    /// The token or key that calls would show.
    pub async fn token(&self) -> Result<Option<String>> {
        Ok(self.find().await?.token)
    }

    /// A client without a token: to sign in.
    pub async fn connect_unknown(&self) -> Result<(Client, String)> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => match &self.profile {
                Some(name) => Profiles::load()?.profiles.get(name).map(|profile| profile.url.clone()),
                None => profile::local()?.map(|profile| profile.url),
            }
            .unwrap_or_else(|| URL_DEFAULT.to_owned()),
        };
        Ok((reach(&url, Token::none()).await?, url))
    }

    /// A client of one profile, whatever else is set.
    pub async fn connect_as(&self, profile: &str) -> Result<Client> {
        let place = Self { url: None, token: None, token_file: None, profile: Some(profile.to_owned()) };
        place.connect().await
    }

    /// The profile's name to log in under.
    pub fn profile_name(&self) -> &str {
        self.profile.as_deref().unwrap_or("default")
    }

    async fn find(&self) -> Result<Found> {
        let mut problems = Problems::default();
        let given = TokenArgs { token: self.token.clone(), token_file: self.token_file.clone() }.check(&mut problems);
        problems.finish(Some(()))?;
        if let Some(token) = given {
            let url = self.url.clone().unwrap_or_else(|| URL_DEFAULT.to_owned());
            return Ok(Found { url, token: Some(token.expose().to_owned()), refreshed: None });
        }
        if let Some(name) = &self.profile {
            let mut profiles = Profiles::load()?;
            let profile = profiles.profiles.remove(name).ok_or_else(|| {
                let names: Vec<_> = profiles.profiles.into_keys().collect();
                Usage::error(format!("there is no profile `{name}`; there are: {}", names.join(", ")))
            })?;
            return self.of(Some(name.clone()), profile).await;
        }
        if let Some(profile) = profile::local()?.filter(|profile| self.is_for(profile)) {
            return self.of(None, profile).await;
        }
        let mut profiles = Profiles::load().unwrap_or_default();
        if let Some(name) = profiles.current.take()
            && let Some(profile) = profiles.profiles.remove(&name).filter(|profile| self.is_for(profile))
        {
            return self.of(Some(name), profile).await;
        }
        Ok(Found { url: self.url.clone().unwrap_or_else(|| URL_DEFAULT.to_owned()), token: None, refreshed: None })
    }

    /// A profile's secrets are shown to no other server.
    fn is_for(&self, profile: &Profile) -> bool {
        self.url.as_ref().is_none_or(|url| url.trim_end_matches('/') == profile.url.trim_end_matches('/'))
    }

    async fn of(&self, name: Option<String>, profile: Profile) -> Result<Found> {
        if !self.is_for(&profile) {
            let message = format!("the profile is for {}, and --url names another server; give a --token", profile.url);
            return Err(Usage::error(message));
        }
        Ok(match (profile.credentials, name) {
            (Credentials::Key(key), _) => Found { url: profile.url, token: Some(key), refreshed: None },
            (Credentials::SignIn(sign_in), None) => {
                Found { url: profile.url, token: Some(sign_in.access_token), refreshed: None }
            }
            (Credentials::SignIn(_), Some(name)) => {
                let sign_in = profile::fresh(&name).await?;
                let refreshed = Some((name, sign_in.expires_at));
                Found { url: profile.url, token: Some(sign_in.access_token), refreshed }
            }
        })
    }
}

async fn reach(url: &str, token: Token) -> Result<Client> {
    // The client's errors name the field `url`.
    let pods = Pods::connect([url], token).map_err(|error| Usage::error(format!("--{}", error.message)))?;
    pods.pick(Instant::now() + CONTACT_WITHIN).await.with_context(|| {
        format!("no server answers at {url}; `taskyard up` starts one, --url or TASKYARD_URL names another")
    })?;
    Ok(Client::new(pods))
}
