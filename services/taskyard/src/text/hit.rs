//! What a search found.

use chrono::{DateTime, Utc};
use taskyard_client::v1;

use super::{clean, shorten, state_name, time::relative_or_dash};

/// A longer title is shown as it is, so that no mark is cut off; an extract is short already.
const INDENT: &str = "    ";

/// A task that was found: its title, then what it is, then an extract. What matches stands between asterisks.
pub fn hit(hit: &v1::SearchHit, now: DateTime<Utc>) -> String {
    let task = hit.task.clone().unwrap_or_default();
    let created = relative_or_dash(task.create_time, now);
    let title = match marked(&hit.title) {
        title if title.is_empty() => "(no title)".to_owned(),
        title => title,
    };
    let place = format!("{}/{}", clean(&task.queue), shorten(&task.kind, 30));
    let mut lines = vec![title, format!("{INDENT}{}  {}  {place}  {created}", task.id, state_name(task.state))];
    let extract = marked(&hit.description);
    if !extract.is_empty() {
        lines.push(format!("{INDENT}{extract}"));
    }
    lines.join("\n")
}

fn marked(parts: &[v1::SnippetPart]) -> String {
    let text: String =
        parts.iter().map(|part| if part.matched { format!("*{}*", part.text) } else { part.text.clone() }).collect();
    // In one line.
    clean(&text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches_is_marked() {
        let part = |text: &str, matched| v1::SnippetPart { text: text.into(), matched };
        let found = v1::SearchHit {
            task: Some(v1::Task {
                id: "0190".into(),
                state: 3,
                queue: "q".into(),
                kind: "k".into(),
                ..Default::default()
            }),
            title: vec![part("two\n", false), part("servers\x1b[2J", true)],
            description: vec![part("many words", false)],
        };
        assert_eq!(hit(&found, Utc::now()), "two *servers [2J*\n    0190  ready  q/k  -\n    many words");
    }
}
