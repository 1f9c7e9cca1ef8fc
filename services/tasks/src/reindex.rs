//! Makes the search index anew beside everything else: every task is indexed once more, what has no task any more goes,
//! and meanwhile searches find what they found before.
//!
//! The leader helps: each step is done by whoever comes first.

use crate::{
    app::indexing::Indexer,
    store::search_reader::{search_dictionary_empty, search_document_estimate, search_reader_read},
};

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReindexProgress {
    /// Tasks gone through so far.
    pub tasks: u64,
    /// How many there are, as the database estimates it; never less than were gone through.
    pub tasks_estimated: u64,
}

/// Indexes all tasks anew. Returns how many.
///
/// # Errors
/// If the database cannot be reached.
pub async fn reindex(database_url: &str, mut on_progress: impl FnMut(ReindexProgress)) -> anyhow::Result<u64> {
    let pool = crate::index_pool(database_url, "taskyard-admin")?;
    let estimated = search_document_estimate(&pool).await?;
    search_dictionary_empty(&pool).await?;
    let mut indexer = Indexer::new(pool.clone());
    indexer.begin().await?;
    let fill = search_reader_read(&pool).await?.place.fill;
    loop {
        indexer.step().await?;
        let standing = search_reader_read(&pool).await?;
        let tasks = u64::try_from(standing.filled).unwrap_or(0);
        on_progress(ReindexProgress { tasks, tasks_estimated: estimated.max(tasks) });
        anyhow::ensure!(standing.place.fill == fill, "another reindex was begun meanwhile");
        if standing.place.filled_to.is_none() {
            pool.close().await;
            return Ok(tasks);
        }
    }
}
