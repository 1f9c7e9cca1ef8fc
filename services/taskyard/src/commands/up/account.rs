//! The first administrator of an installation at a desk, and the key that its command line shows.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use taskyard_tasks::setup::{self, FirstAdmin};

use crate::profile::{self, Credentials, Profile};

const EMAIL: &str = "admin@taskyard.local";

/// Who can sign in, kept in the folder of the private servers.
#[derive(Debug, Deserialize, Serialize)]
pub struct Account {
    pub email: String,
    pub password: String,
    /// For the command line: all rights in the namespace `default`.
    pub key: String,
}

/// What there is to sign in with.
#[derive(Debug)]
pub enum Accounts {
    /// It was made just now, and is shown once.
    New(Account),
    /// It is the folder's, from before.
    Known(Account),
    /// The database has users, and this folder knows none of them.
    Others,
}

/// Makes the first administrator where there is nobody yet.
///
/// # Errors
/// If the database or the folder cannot be reached.
pub async fn ensure(database_url: &str, folder: &Path) -> Result<Accounts> {
    let path = folder.join("account.json");
    let known: Option<Account> = match fs::read(&path) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?),
        Err(_) => None,
    };
    if let Some(account) = known
        && setup::knows_key(database_url, &account.key).await?
    {
        return Ok(Accounts::Known(account));
    }
    let account = Account {
        email: EMAIL.to_owned(),
        password: format!("{:032x}", rand::random::<u128>()),
        key: setup::make_key()?,
    };
    let login = (account.email.clone(), account.password.clone());
    if !setup::first_admin(database_url, FirstAdmin { account: Some(login), key: None }).await? {
        return Ok(Accounts::Others);
    }
    setup::first_admin(database_url, FirstAdmin { account: None, key: Some(account.key.clone()) }).await?;
    profile::write_private(&path, &account)?;
    Ok(Accounts::New(account))
}

/// Lets the command line find this server and its key.
///
/// # Errors
/// If the folder cannot be written to.
pub fn remember(folder: &Path, account: &Account, url: String) -> Result<()> {
    let profile = Profile { url, credentials: Credentials::Key(account.key.clone()) };
    profile::write_private(&folder.join("profile.json"), &profile)
}
