//! Keys.

use chrono::Utc;
use taskyard_client::v1;

use super::{clean, table::Table, time::relative_or_dash};

/// Keys, one a line.
#[derive(Debug)]
pub struct KeyTable(Table<7>);

impl KeyTable {
    /// An empty table.
    pub fn new() -> Self {
        Self(Table::new(["ID", "NAME", "SCOPES", "QUEUES", "CREATED", "LAST USED", "ENDS"]))
    }

    /// The lines of a page; none if it is empty.
    pub fn lines(&mut self, keys: Vec<v1::Key>) -> Option<String> {
        let rows: Vec<_> = keys.into_iter().map(row).collect();
        self.0.lines(&rows)
    }
}

fn row(key: v1::Key) -> [String; 7] {
    let now = Utc::now();
    let queues = key.queues.join(",");
    [
        key.id,
        clean(&key.name),
        key.scopes.join(","),
        if queues.is_empty() { "all".to_owned() } else { queues },
        relative_or_dash(key.created_time, now),
        relative_or_dash(key.last_used_time, now),
        if key.revoked_time.is_some() { "revoked".to_owned() } else { relative_or_dash(key.expires_time, now) },
    ]
}
