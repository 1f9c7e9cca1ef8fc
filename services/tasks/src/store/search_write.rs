//! What the reader of the event order writes into the search index.
//!
//! A step indexes tasks as their documents say in its own snapshot, never as an event says: so to take an event in
//! twice does no harm, and a fill and the events may overtake each other. It is one statement, which moves the reader's
//! row from where the caller found it: whoever else was there first has moved it, and then nothing is written.
//!
//! These statements run REPEATABLE READ: a reader's row that another has just moved ends them with an error, instead of
//! being looked at again, which in PostgreSQL 18 is not safe beside partitions that are picked at that moment (see
//! [`super`]).

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::{Position, task::Namespace};
use uuid::Uuid;

use super::search_reader::{Place, TaskKey};

/// What an event means for the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A task to be indexed for the first time.
    New,
    /// A task whose texts have changed, or that was deleted.
    Other,
}

/// A task to be indexed.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub key: TaskKey,
    pub change: Change,
    /// Bytes of its texts.
    pub bytes: i64,
}

/// An event as the index sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub position: Position,
    pub at: DateTime<Utc>,
    /// None if it changes nothing that is indexed.
    pub asked: Option<Asked>,
}

/// The events after a position that are safe to hand out, as [`event_list`](super::events::event_list) has them.
pub async fn search_event_list(pool: &PgPool, after: Position, rows_max: i64) -> Result<Vec<Seen>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        with page as materialized (
            select epoch, xact, seq, at, namespace, task_id, type,
                title is not null or description is not null or labels is not null as has_texts
            from tasks.events e
            where (e.epoch, e.xact, e.seq) > ($1, $2, $3)
                and (
                    e.xact < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
                    or exists (
                        select from tasks.epochs p
                        where p.epoch = e.epoch
                            and p.closed_xact < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
                    )
                )
            order by e.epoch, e.xact, e.seq
            limit $4
        )
        select
            p.epoch as "epoch!", p.xact as "xact!", p.seq as "seq!", p.at as "at!", p.namespace as "namespace!", p.task_id as "task!",
            p.type as "event_type!", p.has_texts as "has_texts!", d.bytes as "bytes?"
        from page p
        left join lateral (
            select octet_length(d.title) + octet_length(d.description) + octet_length(d.labels::text) as bytes
            from tasks.documents d
            where d.namespace = p.namespace and d.id = p.task_id and (p.type = 1 or (p.type = 9 and p.has_texts))
            offset 0
        ) d on true
        order by p.epoch, p.xact, p.seq
        "#,
        after.epoch,
        after.xact,
        after.seq,
        rows_max,
    )
    .fetch_all(pool)
    .await?;
    let seen = rows.into_iter().map(|row| {
        let change = match row.event_type {
            1 => Some(Change::New),
            9 if row.has_texts => Some(Change::Other),
            10 => Some(Change::Other),
            _ => None,
        };
        let key = (row.namespace, row.task);
        Seen {
            position: Position { epoch: row.epoch, xact: row.xact, seq: row.seq },
            at: row.at,
            asked: change.map(|change| Asked { key, change, bytes: row.bytes.unwrap_or(0).into() }),
        }
    });
    Ok(seen.collect())
}

/// The next documents after a task, and indexed tasks that may have none any more.
pub async fn search_document_list(
    pool: &PgPool,
    (namespace, id): TaskKey,
    rows_max: i64,
) -> Result<Vec<Asked>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        with document as materialized (
            select namespace, id, octet_length(title) + octet_length(description) + octet_length(labels::text) as bytes
            from tasks.documents where (namespace, id) > ($1, $2) order by namespace, id limit $3
        ),
        indexed as materialized (
            select namespace, id from tasks.search where (namespace, id) > ($1, $2) order by namespace, id limit $3
        )
        select namespace as "namespace!", id as "id!", max(bytes) as "bytes!"
        from (
            select namespace, id, bytes from document union all select namespace, id, 0 from indexed
        ) known
        group by namespace, id
        order by namespace, id
        limit $3
        "#,
        namespace,
        id,
        rows_max,
    )
    .fetch_all(pool)
    .await?;
    let asked = rows.into_iter().map(|row| Asked {
        key: (row.namespace, row.id),
        change: Change::Other,
        bytes: row.bytes.into(),
    });
    Ok(asked.collect())
}

/// What one step does.
#[derive(Clone, Debug)]
pub struct Step {
    pub from: Place,
    pub to: Place,
    /// Each task once.
    pub asked: Vec<Asked>,
    /// Documents that a fill goes through with it.
    pub filled: i64,
}

/// Indexes tasks and moves the reader. Returns whether the reader was where it should be.
pub async fn search_step(pool: &PgPool, step: &Step) -> Result<bool, sqlx::Error> {
    let namespaces: Vec<Namespace> = step.asked.iter().map(|asked| asked.key.0).collect();
    let ids: Vec<Uuid> = step.asked.iter().map(|asked| asked.key.1).collect();
    let changed = || step.asked.iter().filter(|asked| asked.change == Change::Other);
    let are_new: Vec<bool> = step.asked.iter().map(|asked| asked.change == Change::New).collect();
    let mut changed_namespaces: Vec<Namespace> = changed().map(|asked| asked.key.0).collect();
    changed_namespaces.sort_unstable();
    changed_namespaces.dedup();
    let changed_ids: Vec<Uuid> = changed().map(|asked| asked.key.1).collect();
    let (from, to) = (step.from, step.to);
    let moved = sqlx::query_scalar!(
        r#"
        with moved as (
            update tasks.search_reader
            set epoch = $7, xact = $8, seq = $9, fill_namespace = $10, fill_id = $11,
                is_whole = is_whole or $10::int is null, filled = filled + $12
            where epoch = $1 and xact = $2 and seq = $3 and fill = $4
                and fill_namespace is not distinct from $5 and fill_id is not distinct from $6
            returning one
        ),
        asked as materialized (
            select k.namespace, k.id, k.is_new
            from moved
            cross join unnest($13::int[], $14::uuid[], $15::bool[]) as k (namespace, id, is_new)
        ),
        document as materialized (
            select
                k.namespace, k.id, d.queue, d.kind, d.creator, d.title, d.description, d.labels, s.number,
                concat_ws(
                    ' ', d.title, (select string_agg(l.key || ' ' || l.value, ' ') from jsonb_each_text(d.labels) l)
                ) as title_and_labels
            from asked k
            cross join lateral (
                select * from tasks.documents d
                where d.namespace = k.namespace and d.id = k.id and not d.is_deleted
                offset 0
            ) d
            left join lateral (
                select number from tasks.search s where s.namespace = k.namespace and s.id = k.id offset 0
            ) s on true
        ),
        counted as (
            insert into tasks.search_namespaces as n (namespace, numbered)
            select namespace, count(*) from document where number is null group by namespace
            on conflict (namespace) do update set numbered = n.numbered + excluded.numbered
            returning namespace, numbered
        ),
        numbered as materialized (
            select
                d.*,
                coalesce(
                    d.number,
                    c.numbered - row_number() over (partition by d.namespace, d.number is null order by d.id desc)
                ) as place
            from document d
            left join counted c on c.namespace = d.namespace
        ),
        label as materialized (
            select n.namespace, n.id, l.key, l.value from numbered n cross join lateral jsonb_each_text(n.labels) l
        ),
        row as (
            insert into tasks.search as s (namespace, id, number, creator, words)
            select
                n.namespace, n.id, n.place, n.creator,
                setweight(to_tsvector('tasks.search', n.title), 'A')
                || setweight(to_tsvector('tasks.search', coalesce(l.texts, '')), 'B')
                || setweight(to_tsvector('tasks.search', n.description), 'D')
                -- The parts of what PostgreSQL takes for a path, an address or a number below zero.
                || case
                    when n.title_and_labels ~ '[[:alnum:]][/.@:-][[:alnum:]]' then
                        setweight(to_tsvector('tasks.search', translate(n.title_and_labels, '/.@:-', '     ')), 'B')
                    else ''
                end
                || case
                    when n.description ~ '[[:alnum:]][/.@:-][[:alnum:]]' then
                        setweight(to_tsvector('tasks.search', translate(n.description, '/.@:-', '     ')), 'D')
                    else ''
                end
                || array_to_tsvector(
                    array[
                        '#n' || n.namespace,
                        '#a' || n.namespace || '.' || (n.place >> 12),
                        '#b' || n.namespace || '.' || (n.place >> 16),
                        '#c' || n.namespace || '.' || (n.place >> 20),
                        '#q' || n.queue,
                        '#k' || n.kind,
                        '#u' || n.creator
                    ] || coalesce(l.lexemes, '{}')
                )
            from numbered n
            cross join lateral (
                select
                    string_agg(l.key || ' ' || l.value, ' ') as texts,
                    array_agg('#l' || char_length(l.key) || ':' || l.key || ':' || l.value) as lexemes
                from jsonb_each_text(n.labels) l
            ) l
            on conflict (namespace, id) do update set creator = excluded.creator, words = excluded.words
            where s.words is distinct from excluded.words or s.creator <> excluded.creator
        ),
        gone as (
            delete from tasks.search s
            where s.namespace = any ($16) and s.id = any ($17)
                -- Hashed: `is true` keeps it from becoming a join, row by row.
                and ((s.namespace, s.id) in (select namespace, id from asked)) is true
                and (s.namespace, s.id) not in (select namespace, id from document)
        ),
        label_added as (
            insert into tasks.search_labels (namespace, key, value, id)
            select namespace, key, value, id from label
            on conflict do nothing
        ),
        -- Only those that the task has no more: what is there both before and after must not meet the insert.
        label_gone as (
            delete from tasks.search_labels s
            where s.namespace = any ($16) and s.id = any ($17)
                and ((s.namespace, s.id) in (select namespace, id from asked)) is true
                and (s.namespace, s.id, s.key, s.value) not in (select namespace, id, key, value from label)
        ),
        word as (
            insert into tasks.search_dictionary as w (namespace, word, tasks)
            select u.namespace, u.word, u.tasks * case when k.is_known then 16 else 1 end
            from (
                select n.namespace, t.word, count(*) as tasks
                from numbered n
                cross join lateral unnest(
                    tsvector_to_array(to_tsvector('tasks.search_plain', n.title_and_labels || ' ' || n.description))
                ) as t (word)
                where t.word ~ '^[[:alpha:]]{2,32}$'
                group by n.namespace, t.word
            ) u
            left join lateral (
                select true as is_known from tasks.search_dictionary d
                where d.namespace = u.namespace and d.word = u.word
                offset 0
            ) k on true
            -- Known words are counted now and then: to count each time costs as much as the index.
            where k.is_known is null or random() < 1 / 16.0
            order by u.namespace, u.word
            on conflict (namespace, word) do update set tasks = least(w.tasks::bigint + excluded.tasks, 1000000000)
        ),
        unparked as (
            delete from tasks.search_parked p using asked k where p.namespace = k.namespace and p.task_id = k.id
        )
        select one as "one!" from moved
        "#,
        from.position.epoch,
        from.position.xact,
        from.position.seq,
        from.fill,
        from.filled_to.map(|key| key.0),
        from.filled_to.map(|key| key.1),
        to.position.epoch,
        to.position.xact,
        to.position.seq,
        to.filled_to.map(|key| key.0),
        to.filled_to.map(|key| key.1),
        step.filled,
        &namespaces,
        &ids,
        &are_new,
        &changed_namespaces,
        &changed_ids,
    )
    .fetch_optional(pool)
    .await?;
    Ok(moved.is_some())
}

/// Parks a task that cannot be indexed, and moves the reader behind the event that told of it, or behind its document.
/// Returns whether the reader was where it should be.
pub async fn search_task_park(
    pool: &PgPool,
    (from, to): (Place, Place),
    (namespace, id): TaskKey,
    error: &str,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query_scalar!(
        r#"
        with moved as (
            update tasks.search_reader
            set epoch = $7, xact = $8, seq = $9, fill_namespace = $10, fill_id = $11,
                is_whole = is_whole or $10::int is null
            where epoch = $1 and xact = $2 and seq = $3 and fill = $4
                and fill_namespace is not distinct from $5 and fill_id is not distinct from $6
            returning one, epoch, xact, seq
        ),
        parked as (
            insert into tasks.search_parked (namespace, task_id, epoch, xact, seq, error)
            select $12, $13, epoch, xact, seq, $14 from moved
            on conflict (namespace, task_id) do update
            set epoch = excluded.epoch, xact = excluded.xact, seq = excluded.seq, parked_at = now(),
                error = excluded.error
        )
        select one as "one!" from moved
        "#,
        from.position.epoch,
        from.position.xact,
        from.position.seq,
        from.fill,
        from.filled_to.map(|key| key.0),
        from.filled_to.map(|key| key.1),
        to.position.epoch,
        to.position.xact,
        to.position.seq,
        to.filled_to.map(|key| key.0),
        to.filled_to.map(|key| key.1),
        namespace,
        id,
        error,
    )
    .fetch_optional(pool)
    .await?;
    Ok(moved.is_some())
}
