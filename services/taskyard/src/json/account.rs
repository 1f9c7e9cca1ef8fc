//! Keys, callers, namespaces and their members.

use serde::Serialize;
use taskyard_client::v1::{self, who_am_i_response::Caller};

use super::time::{Time, time};
use crate::text::role_name;

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

/// A namespace.
#[derive(Debug, Serialize)]
pub struct Namespace {
    name: String,
    is_personal: bool,
    role: String,
    is_owner: bool,
    created_at: Option<Time>,
    deleting_since: Option<Time>,
    tasks_left: Option<u64>,
}

impl From<v1::Namespace> for Namespace {
    fn from(namespace: v1::Namespace) -> Self {
        Self {
            role: role_name(namespace.role),
            name: namespace.name,
            is_personal: namespace.is_personal,
            is_owner: namespace.is_owner,
            created_at: time(namespace.created_time),
            tasks_left: namespace.deleting_since.map(|_| namespace.tasks_left),
            deleting_since: time(namespace.deleting_since),
        }
    }
}

/// A member of a namespace.
#[derive(Debug, Serialize)]
pub struct Member {
    user_id: String,
    email: String,
    name: String,
    role: String,
    is_owner: bool,
    since: Option<Time>,
}

impl From<v1::Member> for Member {
    fn from(member: v1::Member) -> Self {
        Self {
            role: role_name(member.role),
            user_id: member.user_id,
            email: member.email,
            name: member.name,
            is_owner: member.is_owner,
            since: time(member.since),
        }
    }
}

/// An invitation.
#[derive(Debug, Serialize)]
pub struct Invitation {
    id: String,
    email: String,
    role: String,
    created_at: Option<Time>,
    expires_at: Option<Time>,
}

impl From<v1::Invitation> for Invitation {
    fn from(invitation: v1::Invitation) -> Self {
        Self {
            role: role_name(invitation.role),
            id: invitation.id,
            email: invitation.email,
            created_at: time(invitation.created_time),
            expires_at: time(invitation.expires_time),
        }
    }
}

/// A new invitation, with the secret that is not shown again.
#[derive(Debug, Serialize)]
pub struct InvitationSecret {
    #[serde(flatten)]
    invitation: Invitation,
    secret: String,
}

impl From<v1::CreateInvitationResponse> for InvitationSecret {
    fn from(made: v1::CreateInvitationResponse) -> Self {
        Self { invitation: made.invitation.unwrap_or_default().into(), secret: made.secret }
    }
}
