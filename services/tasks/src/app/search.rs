//! Finds tasks by their words.
//!
//! However many tasks match, a page costs about the same: the newest part of the index is searched first, and as many
//! parts before it as it takes to have [`SEARCH_RANKED`] matches. These are ranked; when they are used up, the next ones
//! are looked for. So every match comes once, and which come together follows from the first page.

mod page;
mod parts;
mod spelling;
mod syntax;
mod words;

use std::time::{Duration, Instant};

use taskyard_core::{
    Error, ErrorCode, Result, id,
    limits::{self, SEARCH_PAGE_SIZE_DEFAULT, SEARCH_PAGE_SIZE_MAX, SEARCH_RANKED},
    task::{Filter, Namespace, Task},
};
use taskyard_postgres::failure;
use uuid::Uuid;

use self::{page::Place, syntax::Query, words::Matching};
use super::App;
use crate::store::{
    list,
    search_find::{self, Extent, Match, Wanted},
};

/// Rows that one statement looks at; in a smaller part there cannot be more.
const ROWS_MAX: i64 = 5_000;
/// Tasks of the first part that is searched.
const FIRST_PART: i64 = 2 * parts::SMALLEST;
/// Tasks of the largest part.
const PART_MAX: i64 = 1 << 30;
/// No new part is searched after this time: a short page is better than none.
const TIME_MAX: Duration = Duration::from_millis(800);
/// Characters of descriptions in which words are marked on one page.
const MARKED_CHARACTERS_MAX: usize = 200_000;
/// Characters of one description in which words are marked.
const MARKED_CHARACTERS_EACH: usize = 16_000;

/// What a person searches for.
#[derive(Clone, Debug)]
pub struct Search {
    pub query: String,
    pub filter: Filter,
    pub page_size: u32,
    pub page_token: String,
}

/// One page of what was found.
#[derive(Debug, Default)]
pub struct Found {
    pub hits: Vec<Hit>,
    pub next_page_token: String,
    /// What was searched instead.
    pub corrected: Option<String>,
}

/// A task that was found.
#[derive(Debug)]
pub struct Hit {
    pub task: Task,
    pub title: Vec<Piece>,
    pub description: Vec<Piece>,
}

/// A piece of a text, and whether it is one of the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    pub is_match: bool,
}

impl App {
    /// Finds one page of tasks.
    ///
    /// # Errors
    /// If the query, the page's size or its token is wrong; if it takes too long; while the index is made.
    pub async fn search(&self, namespace: Namespace, search: &Search) -> Result<Found> {
        limits::check_query("query", &search.query)?;
        let size = limits::check_page_size(search.page_size, SEARCH_PAGE_SIZE_DEFAULT, SEARCH_PAGE_SIZE_MAX)?;
        let digest = page::digest(namespace, &search.query, &search.filter);
        let place = match search.page_token.as_str() {
            "" => None,
            token => Some(page::read(token, &digest)?),
        };
        let extent = search_find::search_extent_read(&self.search_pool, namespace).await.map_err(to_error)?;
        self.check_index(extent.is_whole)?;
        let first = Place { is_corrected: false, to: extent.numbered, behind: None };
        let query = Query::parse(&search.query);
        let finder = Finder { app: self, namespace, search, size: size as usize, extent, digest };
        if !place.is_some_and(|place| place.is_corrected) {
            let found = finder.find(&query, place.unwrap_or(first)).await?;
            if place.is_some() || !found.hits.is_empty() || !found.next_page_token.is_empty() {
                return Ok(found);
            }
        }
        let corrected = words::corrected(&self.search_pool, namespace, &query).await.map_err(to_error)?;
        let Some(query) = corrected else { return Ok(Found::default()) };
        let found = finder.find(&query, Place { is_corrected: true, ..place.unwrap_or(first) }).await?;
        Ok(Found { corrected: Some(query.to_string()).filter(|_| !found.hits.is_empty()), ..found })
    }

    /// Until the index has every task, what is missing would seem not to be there.
    pub(super) fn check_index(&self, is_whole: bool) -> Result<()> {
        if is_whole {
            return Ok(());
        }
        Err(Error::unavailable("the search index is being made from the tasks that are there; try again later"))
    }
}

/// One call.
struct Finder<'a> {
    app: &'a App,
    namespace: Namespace,
    search: &'a Search,
    size: usize,
    extent: Extent,
    digest: String,
}

impl Finder<'_> {
    async fn find(&self, query: &Query, mut place: Place) -> Result<Found> {
        let pool = &self.app.search_pool;
        let filter = &self.search.filter;
        let matching = words::matching(pool, self.namespace, query, filter).await.map_err(to_error)?;
        let Some(matching) = matching else { return Ok(Found::default()) };
        let begun = Instant::now();
        let mut tasks: Vec<Task> = Vec::new();
        let next = loop {
            let (from, mut matches) = self.ranked(&matching, place, begun).await?;
            if let Some((_, last)) = place.behind {
                matches.retain(|found| order(&last, found).is_lt());
            }
            if let Some(last) = self.take(&matches, &mut tasks).await? {
                break Some(Place { behind: Some((from, last)), ..place });
            }
            if from == 0 {
                break None;
            }
            place = Place { to: from, behind: None, ..place };
            if tasks.len() >= self.size || begun.elapsed() >= TIME_MAX {
                break Some(place);
            }
        };
        Ok(Found {
            hits: self.mark(tasks, &matching.wanted).await?,
            next_page_token: next.map(|place| page::write(&place, &self.digest)).unwrap_or_default(),
            corrected: None,
        })
    }

    /// The matches that are ranked together, the best first, and where their part begins.
    async fn ranked(&self, matching: &Matching, place: Place, begun: Instant) -> Result<(i64, Vec<Match>)> {
        let mut matches = Vec::new();
        let mut to = place.to;
        let mut size = FIRST_PART;
        while to > 0 {
            let from = place.behind.map_or_else(|| parts::begin(to, size), |(from, _)| from);
            // A part that was searched before had so few; it may have a few more by now.
            let rows_max = if place.behind.is_some() { ROWS_MAX * 4 } else { ROWS_MAX };
            let found = self.matches(matching, from, to, rows_max).await;
            let is_smallest = to - from <= parts::SMALLEST || place.behind.is_some();
            match found {
                Ok((_, true)) | Err(ErrorKind::TooLong) if !is_smallest => {
                    size = (to - from) / 8;
                    continue;
                }
                Ok((found, _)) => matches.extend(found),
                Err(ErrorKind::TooLong) => return Err(takes_too_long()),
                Err(ErrorKind::Other(error)) => return Err(error),
            }
            let part = to - from;
            to = from;
            if place.behind.is_some() || matches.len() >= SEARCH_RANKED || begun.elapsed() >= TIME_MAX {
                break;
            }
            size = next_size(part, place.to - to, matches.len());
        }
        matches.sort_unstable_by(order);
        Ok((to, matches))
    }

    /// The matches of a part, and whether there may be more.
    async fn matches(
        &self,
        matching: &Matching,
        from: i64,
        to: i64,
        rows_max: i64,
    ) -> Result<(Vec<Match>, bool), ErrorKind> {
        let filter = &self.search.filter;
        let wanted = Wanted {
            namespace: self.namespace,
            matching: matching.all.clone(),
            ranking: matching.wanted.clone(),
            from_id: filter.created_after.map_or(Uuid::nil(), id::lower_bound),
            to_id: filter.created_before.map_or(Uuid::max(), id::lower_bound),
        };
        let part = parts::query(self.namespace, from, to, self.extent.numbered);
        let found = search_find::search_match_list(&self.app.search_pool, &wanted, &part, (from, to), rows_max).await;
        found
            .map(|(matches, looked_at)| (matches, looked_at >= rows_max))
            .map_err(|error| if is_canceled(&error) { ErrorKind::TooLong } else { ErrorKind::Other(to_error(error)) })
    }

    /// Takes the tasks that the filter lets through until the page is full. Returns the last match that was looked at,
    /// if there are more behind it.
    async fn take(&self, matches: &[Match], tasks: &mut Vec<Task>) -> Result<Option<Match>> {
        let filter = &self.search.filter;
        let is_filtered =
            !filter.states.is_empty() || filter.finished_after.is_some() || filter.finished_before.is_some();
        let mut looked_at = 0;
        while looked_at < matches.len() && tasks.len() < self.size {
            let wanted = if is_filtered { limits::PAGE_SIZE_MAX as usize } else { self.size - tasks.len() };
            let some = &matches[looked_at..matches.len().min(looked_at + wanted)];
            let ids: Vec<Uuid> = some.iter().map(|found| found.id).collect();
            let listed = list::task_list_of(&self.app.search_pool, self.namespace, filter, &ids);
            let listed = listed.await.map_err(to_error)?;
            let room = self.size - tasks.len();
            if listed.len() > room {
                let last = listed[room - 1].id;
                tasks.extend(listed.into_iter().take(room));
                return Ok(some.iter().find(|found| found.id == last).copied());
            }
            tasks.extend(listed);
            looked_at += some.len();
        }
        let last = looked_at.checked_sub(1).map(|last| matches[last]);
        Ok(last.filter(|_| looked_at < matches.len()))
    }

    async fn mark(&self, tasks: Vec<Task>, ranking: &str) -> Result<Vec<Hit>> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = tasks.iter().map(|task| task.id).collect();
        let each = (MARKED_CHARACTERS_MAX / ids.len()).min(MARKED_CHARACTERS_EACH);
        let each = i32::try_from(each).unwrap_or(i32::MAX);
        let pool = &self.app.search_pool;
        let marked = search_find::search_snippet_list(pool, self.namespace, &ids, ranking, each).await;
        let mut marked: std::collections::HashMap<_, _> =
            marked.map_err(to_error)?.into_iter().map(|snippets| (snippets.id, snippets)).collect();
        // Of one that was deleted in between there are none.
        let hits = tasks.into_iter().filter_map(|task| {
            let snippets = marked.remove(&task.id)?;
            Some(Hit { title: pieces(&snippets.title), description: pieces(&snippets.description), task })
        });
        Ok(hits.collect())
    }
}

/// Why a part was not searched.
enum ErrorKind {
    /// A smaller one may take less time.
    TooLong,
    Other(Error),
}

/// The best first; of two that are as good, the newer.
fn order(a: &Match, b: &Match) -> std::cmp::Ordering {
    b.rank.total_cmp(&a.rank).then_with(|| b.id.cmp(&a.id))
}

/// How large the next part should be, after one of some size, when so many tasks had so many matches.
fn next_size(part: i64, searched: i64, matches: usize) -> i64 {
    let most = part.max(parts::SMALLEST).saturating_mul(16).min(PART_MAX);
    let matches = i64::try_from(matches).unwrap_or(i64::MAX);
    if matches == 0 {
        return most;
    }
    let missing = i64::try_from(SEARCH_RANKED).unwrap_or(i64::MAX).saturating_sub(matches).max(1);
    searched.saturating_mul(missing).saturating_div(matches).clamp(parts::SMALLEST, most)
}

/// A marked text in pieces.
fn pieces(marked: &str) -> Vec<Piece> {
    let (before, behind) = search_find::MARKS;
    let mut pieces = Vec::new();
    let mut is_match = false;
    for part in marked.split_inclusive([before, behind]) {
        let text = part.trim_end_matches([before, behind]);
        if !text.is_empty() {
            pieces.push(Piece { text: text.to_owned(), is_match });
        }
        is_match = part.ends_with(before);
    }
    pieces
}

fn is_canceled(error: &sqlx::Error) -> bool {
    // query_canceled: the statement's timeout
    matches!(error, sqlx::Error::Database(database) if database.code().as_deref() == Some("57014"))
}

fn takes_too_long() -> Error {
    let message = "the search takes too long now; use rarer words or a filter, or try again";
    let mut error = Error::new(ErrorCode::Exhausted, message);
    error.retry_after = Some(Duration::from_secs(1));
    error
}

fn to_error(error: sqlx::Error) -> Error {
    match error {
        // All connections for searches are busy.
        sqlx::Error::PoolTimedOut => takes_too_long(),
        error if is_canceled(&error) => takes_too_long(),
        error => failure::to_error(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_text_falls_into_pieces() {
        let piece = |text: &str, is_match| Piece { text: text.to_owned(), is_match };
        assert_eq!(
            pieces("a \u{1}b\u{2} c\u{1}d\u{2}"),
            [piece("a ", false), piece("b", true), piece(" c", false), piece("d", true)]
        );
        assert_eq!(pieces(""), []);
    }

    #[test]
    fn parts_grow_until_there_are_matches_enough() {
        assert_eq!(next_size(8_192, 8_192, 0), 131_072);
        // 100 in 8,192 tasks: 900 more in about 73,728.
        assert_eq!(next_size(8_192, 8_192, 100), 73_728);
        assert_eq!(next_size(8_192, 8_192, 999), parts::SMALLEST);
        assert_eq!(next_size(PART_MAX, PART_MAX, 0), PART_MAX);
        assert_eq!(next_size(3, 3, 2), parts::SMALLEST);
    }
}
