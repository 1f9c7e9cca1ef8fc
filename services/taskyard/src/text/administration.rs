//! Users, namespaces and the audit log, as administrators of the installation see them.

use chrono::Utc;
use taskyard_client::v1;

use super::{
    clean,
    table::Table,
    time::{full, relative_or_dash},
};

/// Users, one a line.
#[derive(Debug)]
pub struct UserTable(Table<5>);

impl UserTable {
    /// An empty table.
    pub fn new() -> Self {
        Self(Table::new(["EMAIL", "NAME", "CREATED", "LAST SEEN", "NOTE"]))
    }

    /// The lines of a page; none if it is empty.
    pub fn lines(&mut self, users: Vec<v1::UserOverview>) -> Option<String> {
        let now = Utc::now();
        let rows: Vec<_> = users
            .into_iter()
            .map(|user| {
                let notes = [(user.is_site_admin, "administrator"), (user.is_disabled, "shut out")];
                let notes: Vec<_> = notes.into_iter().filter_map(|(is_so, note)| is_so.then_some(note)).collect();
                let created = relative_or_dash(user.created_time, now);
                let seen = relative_or_dash(user.last_seen_time, now);
                [clean(&user.email), clean(&user.name), created, seen, notes.join(", ")]
            })
            .collect();
        self.0.lines(&rows)
    }
}

/// Namespaces with what they hold and may hold, one a line.
#[derive(Debug)]
pub struct NamespaceOverviewTable(Table<8>);

impl NamespaceOverviewTable {
    /// An empty table.
    pub fn new() -> Self {
        Self(Table::new(["NAME", "OWNER", "MEMBERS", "QUEUES", "ACTIVE TASKS", "PAYLOAD MAX", "CREATED", "NOTE"]))
    }

    /// The lines of a page; none if it is empty.
    pub fn lines(&mut self, namespaces: Vec<v1::NamespaceOverview>) -> Option<String> {
        let now = Utc::now();
        let rows: Vec<_> = namespaces
            .into_iter()
            .map(|namespace| {
                let quota = namespace.quota.unwrap_or_default();
                let of = |count: u64, max: Option<u64>| match max {
                    Some(max) => format!("{count} of {max}"),
                    None => count.to_string(),
                };
                let owner = if namespace.owner.is_empty() { "-".to_owned() } else { clean(&namespace.owner) };
                let note = match (namespace.deleting_since, namespace.is_personal) {
                    (Some(since), _) => format!("being deleted since {}", relative_or_dash(Some(since), now)),
                    (None, true) => "personal".to_owned(),
                    (None, false) => String::new(),
                };
                [
                    namespace.name,
                    owner,
                    namespace.members.to_string(),
                    of(namespace.queues, quota.queues_max.map(u64::from)),
                    of(namespace.active_tasks, quota.active_tasks_max),
                    quota.payload_bytes_max.map_or_else(|| "-".to_owned(), |max| max.to_string()),
                    relative_or_dash(namespace.created_time, now),
                    note,
                ]
            })
            .collect();
        self.0.lines(&rows)
    }
}

/// Entries of the audit log, one a line.
#[derive(Debug)]
pub struct AuditTable(Table<5>);

impl AuditTable {
    /// An empty table.
    pub fn new() -> Self {
        Self(Table::new(["TIME", "WHO", "DID", "TO", "DETAIL"]))
    }

    /// The lines of a page; none if it is empty.
    pub fn lines(&mut self, entries: Vec<v1::AuditEntry>) -> Option<String> {
        let now = Utc::now();
        let rows: Vec<_> = entries
            .into_iter()
            .map(|entry| {
                let time = full(entry.time, now).unwrap_or_default();
                [time, clean(&entry.email), clean(&entry.action), clean(&entry.subject), clean(&entry.detail)]
            })
            .collect();
        self.0.lines(&rows)
    }
}
