//! What a search found.

use serde::Serialize;
use taskyard_client::v1;

use super::Task;

/// A task that was found, with its texts in parts that do or do not match.
#[derive(Debug, Serialize)]
pub struct Hit {
    task: Task,
    title: Vec<Part>,
    description: Vec<Part>,
}

#[derive(Debug, Serialize)]
struct Part {
    text: String,
    matched: bool,
}

impl From<v1::SearchHit> for Hit {
    fn from(hit: v1::SearchHit) -> Self {
        let parts = |parts: Vec<v1::SnippetPart>| {
            parts.into_iter().map(|part| Part { text: part.text, matched: part.matched }).collect()
        };
        Self {
            task: Task::from(hit.task.unwrap_or_default()),
            title: parts(hit.title),
            description: parts(hit.description),
        }
    }
}
