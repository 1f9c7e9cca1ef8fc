//! Keys of programs and workers.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::{
    Error, ErrorCode, Identity, Result,
    identity::{Caller, Scope, Scopes},
    limits,
    task::Namespace,
};
use taskyard_postgres::failure;
use taskyard_runtime::identity::Concerns;
use uuid::Uuid;

use super::App;
use crate::{
    fault::{self, FaultPoint},
    identity::{Kind, NewSecret},
    store::keys::{self, Key, NewKey},
};

/// A key that somebody wants.
#[derive(Clone, Debug)]
pub struct WantedKey {
    pub name: String,
    pub scopes: Vec<String>,
    pub queues: Vec<String>,
    pub expires_at: Option<DateTime<Utc>>,
}

impl App {
    /// Makes a key. The secret is shown here and never again.
    ///
    /// # Errors
    /// If something is wrong, or the caller has not all of its rights.
    pub async fn create_key(&self, caller: &Identity, wanted: WantedKey) -> Result<(Key, String)> {
        let scopes = check(&wanted)?;
        if !caller.scopes.has_all(scopes) {
            return Err(Error::new(ErrorCode::Forbidden, "a key cannot have a scope that its maker has not"));
        }
        if wanted.queues.is_empty() && !caller.queues.is_empty() {
            let message = "a key for every queue cannot be made by a key that is not for every queue";
            return Err(Error::new(ErrorCode::Forbidden, message));
        }
        for queue in &wanted.queues {
            caller.check_queue(queue)?;
        }
        let is_key = matches!(caller.caller, Caller::Key { .. });
        // What a key makes ends with it at the latest.
        let most = caller.expires_at.filter(|_| is_key);
        let expires_at = [wanted.expires_at, most].into_iter().flatten().min();
        let wanted = WantedKey { expires_at, ..wanted };
        let created_by = match caller.caller {
            Caller::User { id, .. } => id,
            Caller::Key { id } => id,
            Caller::Service(_) => return Err(Error::new(ErrorCode::Forbidden, "services make no keys")),
        };
        let (id, secret) = make_key(&self.pool, caller.namespace, created_by, scopes, &wanted).await?;
        Ok((self.key(caller.namespace, id).await?, secret))
    }

    /// Keys of a namespace, newest first, and where the next page begins.
    ///
    /// # Errors
    /// If the page's place cannot be read.
    pub async fn keys(&self, namespace: Namespace, size: u32, token: &str) -> Result<(Vec<Key>, String)> {
        let before = match token {
            "" => None,
            token => Some(token.parse().map_err(|_| Error::invalid("page_token", "is not one of ours"))?),
        };
        let mut found = keys::key_list(&self.pool, namespace, before, None, i64::from(size) + 1)
            .await
            .map_err(failure::to_error)?;
        let more = found.len() > size as usize;
        found.truncate(size as usize);
        let next = found.last().filter(|_| more).map(|key| key.id.to_string()).unwrap_or_default();
        Ok((found, next))
    }

    /// Ends a key.
    ///
    /// # Errors
    /// If there is none.
    pub async fn revoke_key(&self, namespace: Namespace, id: Uuid) -> Result<Key> {
        let revision = keys::key_revoke(&self.pool, namespace, id).await.map_err(failure::to_error)?;
        let revision = revision.ok_or_else(not_found)?;
        fault::reach(FaultPoint::CommandCommitted);
        self.changes.tell(revision, Concerns::Key(id)).await;
        self.key(namespace, id).await
    }

    async fn key(&self, namespace: Namespace, id: Uuid) -> Result<Key> {
        let found = keys::key_list(&self.pool, namespace, None, Some(id), 1).await.map_err(failure::to_error)?;
        found.into_iter().next().ok_or_else(not_found)
    }
}

/// Makes a key, whoever asks. Returns its id and its secret.
///
/// # Errors
/// If there are too many, or the database cannot be reached.
pub async fn make_key(
    pool: &PgPool,
    namespace: Namespace,
    created_by: Uuid,
    scopes: Scopes,
    wanted: &WantedKey,
) -> Result<(Uuid, String)> {
    let secret = NewSecret::make(Kind::Key).map_err(|error| Error::internal(error.to_string()))?;
    let new = NewKey {
        id: Uuid::now_v7(),
        namespace,
        name: &wanted.name,
        secret_hash: &secret.hash,
        scopes,
        queues: &wanted.queues,
        created_by,
        expires_at: wanted.expires_at,
    };
    if !keys::key_create(pool, &new, limits::KEYS_MAX.into()).await.map_err(failure::to_error)? {
        let message = format!("the namespace has {} keys, as many as it may; revoke some", limits::KEYS_MAX);
        return Err(Error::new(ErrorCode::Exhausted, message));
    }
    fault::reach(FaultPoint::CommandCommitted);
    Ok((new.id, secret.text))
}

fn check(wanted: &WantedKey) -> Result<Scopes> {
    if wanted.name.trim().is_empty() {
        return Err(Error::invalid("name", "is missing; say what the key is for"));
    }
    limits::check_text("name", &wanted.name, limits::PERSON_NAME_BYTES_MAX)?;
    if wanted.scopes.is_empty() {
        let message = "are missing; name at least one of tasks:read, tasks:write, work, admin";
        return Err(Error::invalid("scopes", message));
    }
    let scopes: Result<Scopes> = wanted.scopes.iter().map(|scope| Scope::parse("scopes", scope)).collect();
    if wanted.queues.len() > limits::WORKER_NAMES_MAX {
        let message = format!("are {}; at most {} are allowed", wanted.queues.len(), limits::WORKER_NAMES_MAX);
        return Err(Error::invalid("queues", message));
    }
    for queue in &wanted.queues {
        limits::check_name("queues", queue)?;
    }
    if wanted.expires_at.is_some_and(|end| end <= Utc::now()) {
        return Err(Error::invalid("expires_time", "has passed"));
    }
    scopes
}

fn not_found() -> Error {
    Error::new(ErrorCode::KeyNotFound, "there is no such key in this namespace")
}
