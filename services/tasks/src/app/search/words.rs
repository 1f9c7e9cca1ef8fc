//! From a query to what the index is asked for.

use sqlx::PgPool;
use taskyard_core::task::{Filter, Namespace};

use super::{
    spelling,
    syntax::{Query, Term, TermKind},
};
use crate::store::search_find;

/// What the index is asked for, as PostgreSQL writes queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matching {
    /// All that must match.
    pub all: String,
    /// What is wanted of it: these words make the rank, and are marked.
    pub wanted: String,
}

/// A lexeme that no task has.
const NOTHING: &str = "'#'";
/// The letters from which on one may look for what begins so without knowing the words.
const BEGINNING_LETTERS_MIN: usize = 3;

/// Finds the lexemes of a query. None if it has no word that is searched: stop words, punctuation.
pub async fn matching(
    pool: &PgPool,
    namespace: Namespace,
    query: &Query,
    filter: &Filter,
) -> Result<Option<Matching>, sqlx::Error> {
    let texts: Vec<String> = query.clauses.iter().flat_map(|clause| &clause.terms).map(|t| t.text.clone()).collect();
    let mut lexemes = search_find::search_lexeme_list(pool, &texts).await?.into_iter();
    let (mut all, mut wanted) = (Vec::new(), Vec::new());
    for clause in &query.clauses {
        let mut terms = Vec::new();
        for term in &clause.terms {
            let lexeme = lexemes.next().unwrap_or_default();
            if term.kind == TermKind::Beginning {
                terms.extend(beginnings(pool, namespace, &term.text, &lexeme).await?);
            }
            terms.push(lexeme);
        }
        terms.retain(|lexeme| !lexeme.is_empty());
        if terms.is_empty() {
            continue;
        }
        let terms = terms.iter().map(|term| format!("({term})")).collect::<Vec<_>>().join(" | ");
        if clause.is_excluded {
            all.push(format!("!({terms})"));
        } else {
            all.push(format!("({terms})"));
            wanted.push(format!("({terms})"));
        }
    }
    if all.is_empty() {
        return Ok(None);
    }
    all.extend(filters(filter));
    let wanted = if wanted.is_empty() { NOTHING.to_owned() } else { wanted.join(" & ") };
    Ok(Some(Matching { all: all.join(" & "), wanted }))
}

/// The lexemes of words that begin so.
async fn beginnings(pool: &PgPool, namespace: Namespace, text: &str, lexeme: &str) -> Result<Vec<String>, sqlx::Error> {
    let plain = search_find::search_plain_word_list(pool, &[text.to_owned()]).await?.pop().flatten();
    let Some(plain) = plain else {
        // A number, or several words: the last lexeme may go on.
        let is_long = text.chars().filter(|character| character.is_alphanumeric()).count() > BEGINNING_LETTERS_MIN;
        return Ok(if is_long && lexeme.ends_with('\'') { vec![format!("{lexeme}:*")] } else { Vec::new() });
    };
    let words = search_find::search_word_list_beginning(pool, namespace, &plain).await?;
    if words.is_empty() {
        let is_long = plain.chars().count() >= BEGINNING_LETTERS_MIN;
        return Ok(if is_long { vec![format!("{}:*", quoted(&plain))] } else { Vec::new() });
    }
    let mut lexemes = search_find::search_lexeme_list(pool, &words).await?;
    lexemes.sort_unstable();
    lexemes.dedup();
    Ok(lexemes)
}

/// What a filter asks of the index; the rest is asked of each task.
fn filters(filter: &Filter) -> Vec<String> {
    let queue = filter.queue.iter().map(|queue| format!("#q{queue}"));
    let kind = filter.kind.iter().map(|kind| format!("#k{kind}"));
    let creator = filter.creator.iter().map(|creator| format!("#u{creator}"));
    let labels = filter.labels.iter().map(|(key, value)| format!("#l{}:{key}:{value}", key.chars().count()));
    queue.chain(kind).chain(creator).chain(labels).map(|lexeme| quoted(&lexeme)).collect()
}

fn quoted(lexeme: &str) -> String {
    format!("'{}'", lexeme.replace('\\', "\\\\").replace('\'', "''"))
}

/// The same query with the nearest known words in place of unknown ones; none if there are none.
pub async fn corrected(pool: &PgPool, namespace: Namespace, query: &Query) -> Result<Option<Query>, sqlx::Error> {
    let mut corrected = query.clone();
    let mut is_other = false;
    for clause in corrected.clauses.iter_mut().filter(|clause| !clause.is_excluded) {
        let mut terms = Vec::new();
        for term in std::mem::take(&mut clause.terms) {
            let meant = meant(pool, namespace, &term).await?;
            is_other |= !meant.is_empty();
            terms.extend(if meant.is_empty() { vec![term] } else { meant });
        }
        clause.terms = terms;
    }
    Ok(is_other.then_some(corrected))
}

/// What a term that no task has may stand for.
async fn meant(pool: &PgPool, namespace: Namespace, term: &Term) -> Result<Vec<Term>, sqlx::Error> {
    if term.kind == TermKind::Phrase {
        return Ok(Vec::new());
    }
    let plain = search_find::search_plain_word_list(pool, std::slice::from_ref(&term.text)).await?.pop().flatten();
    let Some(plain) = plain else { return Ok(Vec::new()) };
    if term.kind == TermKind::Beginning
        && !search_find::search_word_list_beginning(pool, namespace, &plain).await?.is_empty()
    {
        return Ok(Vec::new());
    }
    let words = search_find::search_word_list_similar(pool, namespace, &plain).await?;
    if words.contains(&plain) {
        return Ok(Vec::new());
    }
    let nearest = spelling::nearest(&plain, &words).into_iter();
    Ok(nearest.map(|word| Term { text: word.clone(), kind: TermKind::Word }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_lexemes() {
        let labels = [("it's".to_owned(), "a\\b".to_owned())].into();
        let filter = Filter { queue: Some("q".into()), labels, ..Filter::default() };
        assert_eq!(filters(&filter), ["'#qq'", "'#l4:it''s:a\\\\b'"]);
    }
}
