//! What administrators of the installation see.

use serde::Serialize;
use taskyard_client::v1;

use super::time::{Time, time};

/// A user.
#[derive(Debug, Serialize)]
pub struct UserOverview {
    id: String,
    email: String,
    name: String,
    is_site_admin: bool,
    is_disabled: bool,
    created_at: Option<Time>,
    last_seen_at: Option<Time>,
}

impl From<v1::UserOverview> for UserOverview {
    fn from(user: v1::UserOverview) -> Self {
        Self {
            id: user.id,
            email: user.email,
            name: user.name,
            is_site_admin: user.is_site_admin,
            is_disabled: user.is_disabled,
            created_at: time(user.created_time),
            last_seen_at: time(user.last_seen_time),
        }
    }
}

/// What a namespace may have; null: what the installation has for all.
#[derive(Debug, Serialize)]
struct Quota {
    active_tasks_max: Option<u64>,
    payload_bytes_max: Option<u64>,
    queues_max: Option<u32>,
}

/// A namespace.
#[derive(Debug, Serialize)]
pub struct NamespaceOverview {
    name: String,
    is_personal: bool,
    owner: Option<String>,
    members: u64,
    queues: u64,
    active_tasks: u64,
    created_at: Option<Time>,
    deleting_since: Option<Time>,
    quota: Quota,
}

impl From<v1::NamespaceOverview> for NamespaceOverview {
    fn from(namespace: v1::NamespaceOverview) -> Self {
        let v1::Quota { active_tasks_max, payload_bytes_max, queues_max } = namespace.quota.unwrap_or_default();
        Self {
            name: namespace.name,
            is_personal: namespace.is_personal,
            owner: Some(namespace.owner).filter(|owner| !owner.is_empty()),
            members: namespace.members,
            queues: namespace.queues,
            active_tasks: namespace.active_tasks,
            created_at: time(namespace.created_time),
            deleting_since: time(namespace.deleting_since),
            quota: Quota { active_tasks_max, payload_bytes_max, queues_max },
        }
    }
}

/// What an administrator did.
#[derive(Debug, Serialize)]
pub struct AuditEntry {
    number: u64,
    time: Option<Time>,
    email: String,
    action: String,
    subject: String,
    detail: String,
}

impl From<v1::AuditEntry> for AuditEntry {
    fn from(entry: v1::AuditEntry) -> Self {
        Self {
            number: entry.number,
            time: time(entry.time),
            email: entry.email,
            action: entry.action,
            subject: entry.subject,
            detail: entry.detail,
        }
    }
}
