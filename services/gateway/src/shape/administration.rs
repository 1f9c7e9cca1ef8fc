//! What administrators of the installation see across namespaces.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskyard_core::{Error, Result, limits::QUEUES_MAX};
use taskyard_proto::v1;

use super::time::{Time, time};

/// What a namespace may have. `null`: what the installation has for all.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Quota {
    active_tasks_max: Option<u64>,
    payload_bytes_max: Option<u64>,
    queues_max: Option<u32>,
}

/// What a namespace shall have. What is left out or `null` is as the installation has it for all.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NewQuota {
    /// Waiting and running tasks.
    active_tasks_max: Option<u64>,
    /// Bytes of payload in these.
    payload_bytes_max: Option<u64>,
    /// Queues.
    #[schemars(range(max = QUEUES_MAX))]
    queues_max: Option<u32>,
}

impl From<NewQuota> for v1::Quota {
    fn from(quota: NewQuota) -> Self {
        let NewQuota { active_tasks_max, payload_bytes_max, queues_max } = quota;
        Self { active_tasks_max, payload_bytes_max, queues_max }
    }
}

impl From<v1::Quota> for Quota {
    fn from(quota: v1::Quota) -> Self {
        let v1::Quota { active_tasks_max, payload_bytes_max, queues_max } = quota;
        Self { active_tasks_max, payload_bytes_max, queues_max }
    }
}

/// A namespace, as administrators see it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct NamespaceOverview {
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

/// One page of all namespaces.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct NamespaceOverviews {
    namespaces: Vec<NamespaceOverview>,
    next_page_token: Option<String>,
}

impl TryFrom<v1::ListAllNamespacesResponse> for NamespaceOverviews {
    type Error = Error;

    fn try_from(page: v1::ListAllNamespacesResponse) -> Result<Self> {
        let read = |found: v1::NamespaceOverview| {
            Ok(NamespaceOverview {
                name: found.name,
                is_personal: found.is_personal,
                owner: given(found.owner),
                members: found.members,
                queues: found.queues,
                active_tasks: found.active_tasks,
                created_at: time(found.created_time)?,
                deleting_since: time(found.deleting_since)?,
                quota: found.quota.unwrap_or_default().into(),
            })
        };
        Ok(Self {
            namespaces: page.namespaces.into_iter().map(read).collect::<Result<_>>()?,
            next_page_token: given(page.next_page_token),
        })
    }
}

/// A user, as administrators see one.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct UserOverview {
    id: String,
    email: String,
    name: String,
    is_site_admin: bool,
    is_disabled: bool,
    created_at: Option<Time>,
    last_seen_at: Option<Time>,
}

/// One page of all users.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct UserOverviews {
    users: Vec<UserOverview>,
    next_page_token: Option<String>,
}

impl TryFrom<v1::ListUsersResponse> for UserOverviews {
    type Error = Error;

    fn try_from(page: v1::ListUsersResponse) -> Result<Self> {
        let read = |user: v1::UserOverview| {
            Ok(UserOverview {
                id: user.id,
                email: user.email,
                name: user.name,
                is_site_admin: user.is_site_admin,
                is_disabled: user.is_disabled,
                created_at: time(user.created_time)?,
                last_seen_at: time(user.last_seen_time)?,
            })
        };
        Ok(Self {
            users: page.users.into_iter().map(read).collect::<Result<_>>()?,
            next_page_token: given(page.next_page_token),
        })
    }
}

/// What an administrator did.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AuditEntry {
    number: u64,
    time: Option<Time>,
    email: String,
    action: String,
    subject: String,
    detail: String,
}

/// One page of the audit log.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AuditEntries {
    entries: Vec<AuditEntry>,
    next_page_token: Option<String>,
}

impl TryFrom<v1::ListAuditEntriesResponse> for AuditEntries {
    type Error = Error;

    fn try_from(page: v1::ListAuditEntriesResponse) -> Result<Self> {
        let read = |entry: v1::AuditEntry| {
            Ok(AuditEntry {
                number: entry.number,
                time: time(entry.time)?,
                email: entry.email,
                action: entry.action,
                subject: entry.subject,
                detail: entry.detail,
            })
        };
        Ok(Self {
            entries: page.entries.into_iter().map(read).collect::<Result<_>>()?,
            next_page_token: given(page.next_page_token),
        })
    }
}

fn given(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}
