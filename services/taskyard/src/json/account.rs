//! Keys and callers.

use serde::Serialize;
use taskyard_client::v1::{self, who_am_i_response::Caller};

use super::time::{Time, time};

/// A key, without its secret.
#[derive(Debug, Serialize)]
pub struct Key {
    id: String,
    name: String,
    scopes: Vec<String>,
    queues: Vec<String>,
    creator: String,
    created_at: Option<Time>,
    expires_at: Option<Time>,
    last_used_at: Option<Time>,
    revoked_at: Option<Time>,
}

impl From<v1::Key> for Key {
    fn from(key: v1::Key) -> Self {
        Self {
            id: key.id,
            name: key.name,
            scopes: key.scopes,
            queues: key.queues,
            creator: key.creator,
            created_at: time(key.created_time),
            expires_at: time(key.expires_time),
            last_used_at: time(key.last_used_time),
            revoked_at: time(key.revoked_time),
        }
    }
}

/// A new key, with the secret that is not shown again.
#[derive(Debug, Serialize)]
pub struct KeySecret {
    #[serde(flatten)]
    key: Key,
    secret: String,
}

impl From<v1::CreateKeyResponse> for KeySecret {
    fn from(made: v1::CreateKeyResponse) -> Self {
        Self { key: made.key.unwrap_or_default().into(), secret: made.secret }
    }
}

/// The caller.
#[derive(Debug, Serialize)]
pub struct Me {
    kind: &'static str,
    name: String,
    namespace: String,
    scopes: Vec<String>,
    queues: Vec<String>,
    expires_at: Option<Time>,
}

impl From<v1::WhoAmIResponse> for Me {
    fn from(answer: v1::WhoAmIResponse) -> Self {
        Self {
            kind: match answer.caller {
                Some(Caller::User(_)) => "user",
                Some(Caller::KeyId(_)) => "key",
                Some(Caller::Service(_)) | None => "service",
            },
            name: answer.name,
            namespace: answer.namespace,
            scopes: answer.scopes,
            queues: answer.queues,
            expires_at: time(answer.expires_time),
        }
    }
}
