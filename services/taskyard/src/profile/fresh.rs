//! Access tokens live for a quarter of an hour: the next one is fetched in time.

use std::time::Duration;

use anyhow::{Context, Result};
use chrono::Utc;
use taskyard_client::{Client, Pods, Token};
use taskyard_proto::convert::duration;

use super::{Credentials, Profiles, SignIn};
use crate::output::note;

/// A token that ends sooner is replaced before it is used.
const LEFT_MIN_S: i64 = 60;

/// A token of a profile's sign-in that is good for a while. Several processes may ask: one of them refreshes.
///
/// # Errors
/// If there is no such profile, or the sign-in has ended.
pub async fn fresh(name: &str) -> Result<SignIn> {
    refreshed(name, |sign_in| {
        (sign_in.expires_at - Utc::now().timestamp() < LEFT_MIN_S).then(|| sign_in.namespace.clone())
    })
    .await
}

/// Binds a profile's sign-in to another namespace.
///
/// # Errors
/// If there is no such profile, the sign-in has ended, or its user is not a member.
pub async fn switch(name: &str, namespace: &str) -> Result<SignIn> {
    refreshed(name, |_| Some(namespace.to_owned())).await
}

/// A profile's sign-in, refreshed if `wanted` names a namespace to do that for.
async fn refreshed(name: &str, wanted: impl Fn(&SignIn) -> Option<String>) -> Result<SignIn> {
    Profiles::change(async |profiles| {
        let profile = profiles.profiles.get_mut(name).with_context(|| format!("there is no profile `{name}`"))?;
        let Credentials::SignIn(sign_in) = &mut profile.credentials else {
            anyhow::bail!("the profile `{name}` has a key, which is not refreshed");
        };
        if let Some(namespace) = wanted(sign_in) {
            let client = Client::new(Pods::connect([&profile.url], Token::none())?);
            let tokens = client.refresh_tokens(&sign_in.refresh_token, &namespace).await.with_context(|| {
                format!("the sign-in of `{name}` cannot be refreshed; `taskyard login` begins anew")
            })?;
            *sign_in = SignIn::new(std::mem::take(&mut sign_in.email), tokens)?;
        }
        Ok(sign_in.clone())
    })
    .await
}

/// Replaces a token in time, for as long as the command runs.
pub async fn keep_fresh(name: String, token: Token, mut expires_at: i64) {
    loop {
        let left = u64::try_from(expires_at - Utc::now().timestamp() - LEFT_MIN_S).unwrap_or(0);
        tokio::time::sleep(Duration::from_secs(left.max(1))).await;
        match fresh(&name).await {
            Ok(sign_in) => {
                expires_at = sign_in.expires_at;
                if let Err(error) = token.replace(&sign_in.access_token) {
                    note(&format!("the token could not be replaced: {error}"));
                }
            }
            Err(error) => {
                note(&format!("the sign-in could not be refreshed: {error:#}"));
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        }
    }
}

impl SignIn {
    /// What a server answered.
    ///
    /// # Errors
    /// If its life cannot be read.
    pub fn new(email: String, tokens: taskyard_client::v1::Tokens) -> Result<Self> {
        let life = duration("expires_in", tokens.expires_in.unwrap_or_default())?;
        Ok(Self {
            email,
            namespace: tokens.namespace,
            access_token: tokens.access_token,
            expires_at: Utc::now().timestamp() + life.as_secs().cast_signed(),
            refresh_token: tokens.refresh_token,
        })
    }
}
