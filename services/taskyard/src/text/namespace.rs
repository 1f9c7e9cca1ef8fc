//! Namespaces, members and invitations.

use chrono::Utc;
use taskyard_client::v1;

use super::{clean, role_name, table::Table, time::relative_or_dash};

/// Namespaces, one a line.
#[derive(Debug)]
pub struct NamespaceTable(Table<4>);

impl NamespaceTable {
    /// An empty table.
    pub fn new() -> Self {
        Self(Table::new(["NAME", "ROLE", "CREATED", "NOTE"]))
    }

    /// The lines of a page; none if it is empty.
    pub fn lines(&mut self, namespaces: Vec<v1::Namespace>) -> Option<String> {
        let now = Utc::now();
        let rows: Vec<_> = namespaces
            .into_iter()
            .map(|namespace| {
                let role = if namespace.is_owner { "owner".to_owned() } else { role_name(namespace.role) };
                let note = match (namespace.deleting_since, namespace.is_personal) {
                    (Some(since), _) => format!("being deleted since {}", relative_or_dash(Some(since), now)),
                    (None, true) => "your own".to_owned(),
                    (None, false) => String::new(),
                };
                [namespace.name, role, relative_or_dash(namespace.created_time, now), note]
            })
            .collect();
        self.0.lines(&rows)
    }
}

/// Members, one a line.
#[derive(Debug)]
pub struct MemberTable(Table<4>);

impl MemberTable {
    /// An empty table.
    pub fn new() -> Self {
        Self(Table::new(["EMAIL", "NAME", "ROLE", "SINCE"]))
    }

    /// The lines of a page; none if it is empty.
    pub fn lines(&mut self, members: Vec<v1::Member>) -> Option<String> {
        let now = Utc::now();
        let rows: Vec<_> = members
            .into_iter()
            .map(|member| {
                let role = if member.is_owner { "owner".to_owned() } else { role_name(member.role) };
                [clean(&member.email), clean(&member.name), role, relative_or_dash(member.since, now)]
            })
            .collect();
        self.0.lines(&rows)
    }
}

/// Invitations, one a line.
#[derive(Debug)]
pub struct InvitationTable(Table<5>);

impl InvitationTable {
    /// An empty table.
    pub fn new() -> Self {
        Self(Table::new(["ID", "EMAIL", "ROLE", "CREATED", "ENDS"]))
    }

    /// The lines of a page; none if it is empty.
    pub fn lines(&mut self, invitations: Vec<v1::Invitation>) -> Option<String> {
        let now = Utc::now();
        let rows: Vec<_> = invitations
            .into_iter()
            .map(|invitation| {
                let role = role_name(invitation.role);
                let created = relative_or_dash(invitation.created_time, now);
                let ends = relative_or_dash(invitation.expires_time, now);
                [invitation.id, clean(&invitation.email), role, created, ends]
            })
            .collect();
        self.0.lines(&rows)
    }
}
