//! Full-text search, and lists by label and creator, through the real service on real servers.

mod filters;
mod hostile;
mod index;
mod pages;
mod words;

use std::time::Duration;

use anyhow::Result;
use sqlx::PgPool;
use taskyard_proto::v1::{NewTask, SearchHit, SearchTasksRequest, SearchTasksResponse, SnippetPart, TaskFilter};
use taskyard_testkit::eventually;
use taskyard_tests::{Answer, SOON, Setup, manual, read};

/// A task for people with a title and a description.
fn titled(title: &str, description: &str) -> NewTask {
    NewTask { title: title.to_owned(), description: description.to_owned(), ..manual() }
}

fn labeled(title: &str, labels: &[(&str, &str)]) -> NewTask {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    NewTask { labels, ..titled(title, "") }
}

async fn search(setup: &Setup, request: SearchTasksRequest) -> Answer<SearchTasksResponse> {
    read(setup.tasks.clone().search_tasks(request).await)
}

async fn found(setup: &Setup, query: &str) -> Answer<SearchTasksResponse> {
    search(setup, SearchTasksRequest { query: query.to_owned(), page_size: 100, ..Default::default() }).await
}

async fn found_with(setup: &Setup, query: &str, filter: TaskFilter) -> Answer<Vec<String>> {
    let request = SearchTasksRequest { query: query.to_owned(), filter: Some(filter), ..Default::default() };
    Ok(titles(&search(setup, request).await?.hits))
}

/// The titles of what is found, the best first.
async fn titles_of(setup: &Setup, query: &str) -> Answer<Vec<String>> {
    Ok(titles(&found(setup, query).await?.hits))
}

fn titles(hits: &[SearchHit]) -> Vec<String> {
    hits.iter().map(|hit| hit.task.clone().unwrap_or_default().title).collect()
}

/// A text with brackets around what matches.
fn marked(parts: &[SnippetPart]) -> String {
    parts.iter().map(|part| if part.matched { format!("[{}]", part.text) } else { part.text.clone() }).collect()
}

/// Waits until the index has every event, and every document.
async fn indexed_within(pool: &PgPool, within: Duration) -> Result<()> {
    let sql = "
        select
            fill_namespace is null
            and coalesce(
                (epoch, xact, seq) >= (
                    select epoch, xact, seq from tasks.events order by epoch desc, xact desc, seq desc limit 1
                ),
                true
            )
        from tasks.search_reader";
    eventually(within, "the index has every event", async || {
        let is: Option<bool> = sqlx::query_scalar(sql).fetch_one(pool).await.expect("a query");
        is.unwrap_or(false).then_some(())
    })
    .await
}

async fn indexed(setup: &Setup) -> Result<()> {
    indexed_within(&setup.stack.pool, SOON).await
}

/// A setup with these tasks, indexed.
async fn with(tasks: Vec<NewTask>) -> Result<Setup> {
    let setup = Setup::open().await?;
    for task in tasks {
        setup.create(task).await?;
    }
    indexed(&setup).await?;
    Ok(setup)
}
