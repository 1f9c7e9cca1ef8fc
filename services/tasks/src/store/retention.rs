//! What is forgotten after its time.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgPool};
use taskyard_core::{id, task::Namespace};
use uuid::Uuid;

use super::partitions::{self, Partition};

/// Forgets idempotency keys past their time, some at a time.
pub async fn idempotency_key_delete_expired(pool: &PgPool, rows_max: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        with expired as materialized (
            select namespace, key from tasks.idempotency_keys where expires_at < now() order by expires_at limit $1
        )
        delete from tasks.idempotency_keys k using expired e where k.namespace = e.namespace and k.key = e.key
        "#,
        rows_max,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// Of the next words of the search index's dictionary after one, those that no task has any more; and where to go on,
/// if there are more words.
pub async fn search_word_list_unused(
    pool: &PgPool,
    (namespace, word): (Namespace, &str),
    rows_max: i64,
) -> Result<(Vec<UnusedWord>, Option<(Namespace, String)>), sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        with next_word as materialized (
            select namespace, word, tasks, phraseto_tsquery('tasks.search', word) as lexemes
            from tasks.search_dictionary
            where (namespace, word) > ($1, $2)
            order by namespace, word
            limit $3
        )
        select
            w.namespace as "namespace!", w.word as "word!", w.tasks as "tasks!",
            -- A stop word has no lexemes; of those it can be left open whether there are tasks.
            numnode(w.lexemes) > 0 and not exists (
                select from tasks.search s where s.words @@ (w.lexemes && ('#n' || w.namespace)::tsquery)
            ) as "is_unused!"
        from next_word w
        order by w.namespace, w.word
        "#,
        namespace,
        word,
        rows_max,
    )
    .fetch_all(pool)
    .await?;
    let is_full = rows.len() as i64 == rows_max;
    let next = rows.last().filter(|_| is_full).map(|row| (row.namespace, row.word.clone()));
    let unused = rows.into_iter().filter(|row| row.is_unused);
    let unused = unused.map(|row| UnusedWord { namespace: row.namespace, word: row.word, tasks: row.tasks });
    Ok((unused.collect(), next))
}

/// A word that no task has.
#[derive(Clone, Debug)]
pub struct UnusedWord {
    namespace: Namespace,
    word: String,
    tasks: i32,
}

/// Forgets words, but for those that a new task has had meanwhile.
pub async fn search_word_delete(pool: &PgPool, words: &[UnusedWord]) -> Result<u64, sqlx::Error> {
    let namespaces: Vec<Namespace> = words.iter().map(|word| word.namespace).collect();
    let texts: Vec<String> = words.iter().map(|word| word.word.clone()).collect();
    let tasks: Vec<i32> = words.iter().map(|word| word.tasks).collect();
    let done = sqlx::query!(
        r#"
        delete from tasks.search_dictionary d
        using unnest($1::int[], $2::text[], $3::int[]) as u (namespace, word, tasks)
        where d.namespace = u.namespace and d.word = u.word and d.tasks = u.tasks
        "#,
        &namespaces,
        &texts,
        &tasks,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// From when on finished tasks are kept.
#[derive(Clone, Copy, Debug)]
pub struct KeepFrom {
    pub finished: DateTime<Utc>,
    /// Of those, the dead.
    pub dead: DateTime<Utc>,
}

/// Whether something keeps a partition: a task of its week that is active, or that finished not so long ago.
pub async fn partition_is_pinned(
    pool: &PgPool,
    partition: &Partition,
    keep_from: KeepFrom,
) -> Result<bool, sqlx::Error> {
    if partition.table == "events" {
        return Ok(false);
    }
    let from = id::lower_bound(partition.starts_at());
    let to = id::lower_bound(partition.ends_at());
    sqlx::query_scalar!(
        r#"
        select (
            exists (select from tasks.active where id >= $1 and id < $2)
            or exists (
                select from tasks.finished
                where id >= $1 and id < $2 and finished_at >= case state when 6 then $4::timestamptz else $3::timestamptz end
            )
        ) as "is_pinned!"
        "#,
        from,
        to,
        keep_from.finished,
        keep_from.dead,
    )
    .fetch_one(pool)
    .await
}

/// Empties a partition that something keeps, some rows at a time, of all that need not be kept.
pub async fn partition_empty(
    pool: &PgPool,
    partition: &Partition,
    keep_from: KeepFrom,
    rows_max: i64,
) -> Result<u64, sqlx::Error> {
    let name = partition.name();
    match partition.table {
        "documents" => documents_empty(pool, &name, rows_max).await,
        "finished" => {
            let is_old = "p.finished_at < case p.state when 6 then $2::timestamptz else $1::timestamptz end";
            let sql = format!(
                "with old as materialized (select namespace, id from {name} p where {is_old} limit $3) \
                 delete from {name} p using old o where p.namespace = o.namespace and p.id = o.id and {is_old}"
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(keep_from.finished).bind(keep_from.dead).bind(rows_max);
            Ok(query.execute(pool).await?.rows_affected())
        }
        table if partitions::is_index(table) => index_empty(pool, &name, rows_max).await,
        _ => Ok(0),
    }
}

/// The search index keeps what has a document.
async fn index_empty(pool: &PgPool, name: &str, rows_max: i64) -> Result<u64, sqlx::Error> {
    let find = format!(
        "select distinct namespace, id from {name} p \
         where not exists (select from tasks.documents d where d.namespace = p.namespace and d.id = p.id) \
         limit $1"
    );
    let old: Vec<(i32, Uuid)> = sqlx::query_as(AssertSqlSafe(find)).bind(rows_max).fetch_all(pool).await?;
    let count = old.len() as u64;
    delete_from(pool, name, old).await?;
    Ok(count)
}

async fn delete_from(pool: &PgPool, name: &str, keys: Vec<(i32, Uuid)>) -> Result<u64, sqlx::Error> {
    let (namespaces, ids): (Vec<i32>, Vec<Uuid>) = keys.into_iter().unzip();
    let delete = format!(
        "delete from {name} p using unnest($1::int[], $2::uuid[]) as o (namespace, id) \
         where p.namespace = o.namespace and p.id = o.id"
    );
    let done = sqlx::query(AssertSqlSafe(delete)).bind(namespaces).bind(ids).execute(pool).await?;
    Ok(done.rows_affected())
}

/// A finished row is let go before its document, so that no list shows half a task. What has neither an active nor a
/// finished row never gets one again, so it is found first and deleted then.
async fn documents_empty(pool: &PgPool, name: &str, rows_max: i64) -> Result<u64, sqlx::Error> {
    let find = format!(
        "select namespace, id from {name} p \
         where not exists (select from tasks.active a where a.namespace = p.namespace and a.id = p.id) \
             and not exists (select from tasks.finished f where f.namespace = p.namespace and f.id = p.id) \
         limit $1"
    );
    let old: Vec<(i32, Uuid)> = sqlx::query_as(AssertSqlSafe(find)).bind(rows_max).fetch_all(pool).await?;
    delete_from(pool, name, old).await
}
