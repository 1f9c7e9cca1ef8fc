//! What a search found.

use schemars::JsonSchema;
use serde::Serialize;
use taskyard_core::{Error, Result};
use taskyard_proto::v1;

use super::task::Task;

/// One page of what was found.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Hits {
    hits: Vec<Hit>,
    next_page_token: Option<String>,
    corrected_query: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Hit {
    task: Task,
    title_html: String,
    description_html: String,
}

impl TryFrom<v1::SearchTasksResponse> for Hits {
    type Error = Error;

    fn try_from(page: v1::SearchTasksResponse) -> Result<Self> {
        Ok(Self {
            hits: page.hits.into_iter().map(Hit::try_from).collect::<Result<_>>()?,
            next_page_token: Some(page.next_page_token).filter(|token| !token.is_empty()),
            corrected_query: Some(page.corrected_query).filter(|query| !query.is_empty()),
        })
    }
}

impl TryFrom<v1::SearchHit> for Hit {
    type Error = Error;

    fn try_from(hit: v1::SearchHit) -> Result<Self> {
        Ok(Self {
            task: Task::try_from(hit.task.unwrap_or_default())?,
            title_html: html(&hit.title),
            description_html: html(&hit.description),
        })
    }
}

/// HTML whose only element is `mark`, around what matches. In texts `&`, `<`, `>`, `"` and `'` are written as character
/// references, so it is safe between tags and in a quoted attribute.
fn html(parts: &[v1::SnippetPart]) -> String {
    let mut html = String::new();
    for part in parts {
        html.push_str(if part.matched { "<mark>" } else { "" });
        for character in part.text.chars() {
            match character {
                '&' => html.push_str("&amp;"),
                '<' => html.push_str("&lt;"),
                '>' => html.push_str("&gt;"),
                '"' => html.push_str("&quot;"),
                '\'' => html.push_str("&#39;"),
                other => html.push(other),
            }
        }
        html.push_str(if part.matched { "</mark>" } else { "" });
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_matches_marked() {
        let part = |text: &str, matched| v1::SnippetPart { text: text.to_owned(), matched };
        assert_eq!(
            html(&[part("<b>&amp; ", false), part("\"it's\"", true), part(" </mark>", false)]),
            "&lt;b&gt;&amp;amp; <mark>&quot;it&#39;s&quot;</mark> &lt;/mark&gt;"
        );
    }
}
