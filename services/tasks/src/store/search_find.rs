//! What is found in the search index: lexemes of words, the tasks of a part of the index that match, extracts.
//!
//! These statements run on connections of their own: few, and with a short timeout.

use sqlx::PgPool;
use taskyard_core::task::Namespace;
use uuid::Uuid;

/// Words of the dictionary that one look gives at most.
const WORDS_MAX: i64 = 20;
/// Words that one look goes through at most.
const WORDS_SCANNED: i64 = 5_000;

/// Each text as PostgreSQL writes a query for it: its lexemes one behind the other; empty if it has none.
pub async fn search_lexeme_list(pool: &PgPool, texts: &[String]) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select phraseto_tsquery('tasks.search', t.text)::text as "query!"
        from unnest($1::text[]) with ordinality as t (text, place)
        order by t.place
        "#,
        texts,
    )
    .fetch_all(pool)
    .await
}

/// Each word as the dictionary has it; none for what is several words, or none.
pub async fn search_plain_word_list(pool: &PgPool, words: &[String]) -> Result<Vec<Option<String>>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select (
            select case when count(*) = 1 and min(plain) ~ '^[[:alpha:]]{2,32}$' then min(plain) end
            from unnest(tsvector_to_array(to_tsvector('tasks.search_plain', w.word))) as p (plain)
        )
        from unnest($1::text[]) with ordinality as w (word, place)
        order by w.place
        "#,
        words,
    )
    .fetch_all(pool)
    .await
}

/// The words of a namespace that begin so, those of most tasks first.
pub async fn search_word_list_beginning(
    pool: &PgPool,
    namespace: Namespace,
    beginning: &str,
) -> Result<Vec<String>, sqlx::Error> {
    // No word of the dictionary has a character as high as the last one.
    let end = format!("{beginning}\u{10ffff}");
    sqlx::query_scalar!(
        r#"
        with beginning as materialized (
            select word, tasks from tasks.search_dictionary
            where namespace = $1 and word >= $2 and word < $3
            order by namespace, word
            limit $4
        )
        select word from beginning order by tasks desc, word limit $5
        "#,
        namespace,
        beginning,
        end,
        WORDS_SCANNED,
        WORDS_MAX,
    )
    .fetch_all(pool)
    .await
}

/// The words of a namespace that share a good part of their letters with this one, those that share most first.
pub async fn search_word_list_similar(
    pool: &PgPool,
    namespace: Namespace,
    word: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with similar_word as materialized (
            select word, tasks from tasks.search_dictionary where word % $2 and namespace = $1 limit $3
        )
        select word from similar_word order by similarity(word, $2) desc, tasks desc, word limit $4
        "#,
        namespace,
        word,
        WORDS_SCANNED,
        WORDS_MAX * 3,
    )
    .fetch_all(pool)
    .await
}

/// What there is to be searched.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// The namespace's tasks have lower numbers than this.
    pub numbered: i64,
    /// Every task was taken in at least once.
    pub is_whole: bool,
}

/// How much there is to be searched in a namespace.
pub async fn search_extent_read(pool: &PgPool, namespace: Namespace) -> Result<Extent, sqlx::Error> {
    sqlx::query_as!(
        Extent,
        r#"
        select
            r.is_whole,
            coalesce((select n.numbered from tasks.search_namespaces n where n.namespace = $1), 0) as "numbered!"
        from tasks.search_reader r
        where r.one
        "#,
        namespace,
    )
    .fetch_one(pool)
    .await
}

/// Which tasks to look for, in queries as PostgreSQL writes them.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub namespace: Namespace,
    /// What must match, but for the part of the index.
    pub matching: String,
    /// The words that count for the rank.
    pub ranking: String,
    pub from_id: Uuid,
    pub to_id: Uuid,
}

/// A task that matches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    pub id: Uuid,
    pub rank: f32,
}

/// The tasks with these numbers that match, and how many rows were looked at: as many as allowed means that there may
/// be more.
pub async fn search_match_list(
    pool: &PgPool,
    wanted: &Wanted,
    part: &str,
    (from, to): (i64, i64),
    rows_max: i64,
) -> Result<(Vec<Match>, i64), sqlx::Error> {
    let matching = format!("{part} & ({})", wanted.matching);
    let rows = sqlx::query!(
        r#"
        select
            f.id as "id!",
            f.namespace = $3 and f.number >= $4 and f.number < $5 and f.id >= $6 and f.id < $7 as "is_wanted!",
            ts_rank(f.words, $2::text::tsquery) as "rank!"
        from (select * from tasks.search s where s.words @@ $1::text::tsquery limit $8) f
        "#,
        matching,
        wanted.ranking,
        wanted.namespace,
        from,
        to,
        wanted.from_id,
        wanted.to_id,
        rows_max,
    )
    .fetch_all(pool)
    .await?;
    let looked_at = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let matches = rows.into_iter().filter(|row| row.is_wanted).map(|row| Match { id: row.id, rank: row.rank });
    Ok((matches.collect(), looked_at))
}

/// Before a word that matches, and behind it: characters that no shown text has.
pub const MARKS: (char, char) = ('\u{1}', '\u{2}');

/// Title and extracts of a description, with marks around the words that match.
#[derive(Clone, Debug)]
pub struct Snippets {
    pub id: Uuid,
    pub title: String,
    pub description: String,
}

/// Marks the words that match in tasks, in descriptions as far as so many characters.
pub async fn search_snippet_list(
    pool: &PgPool,
    namespace: Namespace,
    ids: &[Uuid],
    ranking: &str,
    characters_max: i32,
) -> Result<Vec<Snippets>, sqlx::Error> {
    sqlx::query_as!(
        Snippets,
        r#"
        select
            d.id,
            ts_headline(
                'tasks.search', translate(d.title, E'\x01\x02', ''), $3::text::tsquery,
                E'StartSel="\x01", StopSel="\x02", HighlightAll=true'
            ) as "title!",
            ts_headline(
                'tasks.search', translate(left(d.description, $4), E'\x01\x02', ''), $3::text::tsquery,
                E'StartSel="\x01", StopSel="\x02", MaxFragments=2, MinWords=8, MaxWords=24, FragmentDelimiter=" … "'
            ) as "description!"
        from unnest($2::uuid[]) as i (id)
        cross join lateral (
            select id, title, description from tasks.documents d
            where d.namespace = $1 and d.id = i.id and not d.is_deleted
            offset 0
        ) d
        "#,
        namespace,
        ids,
        ranking,
        characters_max,
    )
    .fetch_all(pool)
    .await
}
