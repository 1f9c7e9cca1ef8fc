//! What whoever sets an installation up does to its database: schema, users, keys.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use sqlx::PgPool;
use taskyard_core::{
    identity::{Role, Scope, Scopes},
    task::Namespace,
};
use uuid::Uuid;

use crate::{
    app::{
        keys::{self, WantedKey},
        users::{self, Registration},
    },
    identity::{Kind, NewSecret, Passwords},
    store,
};

/// The namespace that is there before anybody: `default`, which the first administrator owns.
pub const DEFAULT_NAMESPACE: Namespace = 1;

/// Brings the schema up to date. Waits so long for a server that is not there yet.
///
/// # Errors
/// If the database cannot be reached or a migration fails.
pub async fn migrate(database_url: &str, wait: Duration) -> Result<()> {
    store::schema::schema_migrate(database_url, wait).await
}

/// Begins a new epoch of the event order, after a restore that cannot be seen.
///
/// # Errors
/// If the database cannot be reached.
pub async fn advance_epoch(database_url: &str) -> Result<()> {
    use sqlx::Connection;
    let options = taskyard_postgres::pool::options(database_url, "taskyard-admin")?;
    let mut connection = sqlx::PgConnection::connect_with(&options).await?;
    store::epoch::epoch_advance(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Somebody who gets an account.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: String,
    /// Looks after the whole installation.
    pub is_admin: bool,
}

/// Makes a user. The first administrator also owns the namespace `default`. False: there is one with this address
/// already, and nothing was changed.
///
/// # Errors
/// If the address or the password is not good, or the database cannot be reached.
pub async fn create_user(database_url: &str, account: NewAccount) -> Result<bool> {
    let pool = connect(database_url).await?;
    if store::users::user_read_by_email(&pool, &users::read_email("email", &account.email)?).await?.is_some() {
        return Ok(false);
    }
    let NewAccount { email, password, is_admin } = account;
    let registration = Registration { email, password, name: String::new(), namespace: String::new() };
    let user = users::create_user(&pool, &Passwords::new()?, registration, is_admin, true).await?;
    if is_admin {
        store::namespaces::namespace_adopt(&pool, DEFAULT_NAMESPACE, user.id).await?;
    }
    pool.close().await;
    Ok(true)
}

/// The first administrator of an installation, and a key for whoever sets it up.
#[derive(Clone, Debug)]
pub struct FirstAdmin {
    /// Who signs in, and the password.
    pub account: Option<(String, String)>,
    /// A key with all rights in the namespace `default`.
    pub key: Option<String>,
}

/// Makes the first administrator where there is no user yet, and the key where it is not known. Both can be repeated:
/// what is there stays as it is, a revoked key included. True: there was no user.
///
/// # Errors
/// If the address, the password or the key is not good, or the database cannot be reached.
pub async fn first_admin(database_url: &str, admin: FirstAdmin) -> Result<bool> {
    let pool = connect(database_url).await?;
    let is_first = !store::users::user_exists(&pool).await?;
    if let Some((email, password)) = admin.account
        && is_first
    {
        create_user(database_url, NewAccount { email, password, is_admin: true }).await?;
    }
    if let Some(key) = admin.key {
        let hash = Kind::Key.hash(&key).filter(|_| key.len() >= KEY_BYTES_MIN);
        let hash =
            hash.with_context(|| format!("a key begins with tyk_ and has at least {KEY_BYTES_MIN} characters"))?;
        store::keys::key_ensure(&pool, DEFAULT_NAMESPACE, "first key", &hash, Role::Admin.scopes()).await?;
    }
    pool.close().await;
    Ok(is_first)
}

/// The shortest key that somebody else made: its first letters, and 32 more.
const KEY_BYTES_MIN: usize = 36;

/// Makes a key for a namespace, with all rights in it or with some. Returns its secret.
///
/// # Errors
/// If there is no such namespace, or the database cannot be reached.
pub async fn create_key(database_url: &str, namespace: &str, name: &str, scopes: &[Scope]) -> Result<String> {
    let pool = connect(database_url).await?;
    let Some(number) = store::namespaces::namespace_number(&pool, namespace).await? else {
        bail!("there is no namespace `{namespace}`");
    };
    let scopes: Scopes = if scopes.is_empty() { Role::Admin.scopes() } else { scopes.iter().copied().collect() };
    let wanted = WantedKey { name: name.to_owned(), scopes: Vec::new(), queues: Vec::new(), expires_at: None };
    let (_, secret) = keys::make_key(&pool, number, Uuid::nil(), scopes, &wanted).await?;
    pool.close().await;
    Ok(secret)
}

/// Whether a key is good in this database.
///
/// # Errors
/// If the database cannot be reached.
pub async fn knows_key(database_url: &str, key: &str) -> Result<bool> {
    let Some(hash) = Kind::Key.hash(key) else { return Ok(false) };
    let pool = connect(database_url).await?;
    let known = store::identity::identity_of_key(&pool, &hash).await?.is_some();
    pool.close().await;
    Ok(known)
}

/// A key for [`FirstAdmin`].
///
/// # Errors
/// If the system has no randomness.
pub fn make_key() -> Result<String> {
    Ok(NewSecret::make(Kind::Key)?.text)
}

/// A key for a service of ours, as TASKYARD_WORKER_KEY and the like take it.
///
/// # Errors
/// If the system has no randomness.
pub fn make_service_key() -> Result<String> {
    Ok(NewSecret::make(Kind::Service)?.text)
}

async fn connect(database_url: &str) -> Result<PgPool> {
    let options = taskyard_postgres::pool::options(database_url, "taskyard-admin")?;
    PgPool::connect_with(options).await.context("the database cannot be reached")
}
