//! Lists of tasks: at any history size, every page goes by an index and reads a bounded number of rows.
//!
//! Each list walks one index in the order of the list (its *candidates*) and joins the rest. Filters that the index
//! does not cover are applied to at most [`SCAN_MAX`] candidates a page; a page may therefore be short although more
//! follow.
//!
//! | order | filter | index |
//! |---|---|---|
//! | created | states | `active_state`, `finished_state` |
//! | created | queue | `documents_queue` |
//! | created | kind | `documents_kind` |
//! | created | none | primary key of `documents` |
//! | created | labels, creator | `search_labels`, `search_creator` |
//! | finished | any | `finished_at` |
//!
//! The indexes by label and creator are filled by a reader of events: what they lack is not listed yet, and what they
//! have too much is filtered by the document.

use chrono::{DateTime, Utc};
use sqlx::{PgPool, Postgres, QueryBuilder, Row, postgres::PgRow};
use taskyard_core::{
    TaskState, id,
    task::{Filter, Namespace, Order, Task},
};
use uuid::Uuid;

use super::partitions;

/// Candidates that one page looks at.
const SCAN_MAX: i64 = 5_000;

/// A place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub id: Uuid,
    /// For the orders by finish time.
    pub finished_at: Option<DateTime<Utc>>,
}

/// One page.
#[derive(Debug)]
pub struct Page {
    pub tasks: Vec<Task>,
    /// Where to go on; none at the end.
    pub next: Option<Cursor>,
}

/// Lists tasks without payload and result.
pub async fn task_list(
    pool: &PgPool,
    namespace: Namespace,
    filter: &Filter,
    order: Order,
    after: Option<Cursor>,
    page_size: u32,
) -> Result<Page, sqlx::Error> {
    let page_size = i64::from(page_size);
    let walked = if order.is_by_finish() { None } else { rarest(pool, namespace, filter).await? };
    let query = QueryBuilder::new("with candidate as materialized (");
    let mut query = List { namespace, filter, order, after, walked, query };
    let scan = if query.has_residual_filter() { SCAN_MAX } else { page_size + 1 };
    query.candidates(scan);
    query.push_page(page_size);
    let mut query = query.query;
    let rows = query.build().fetch_all(pool).await?;
    read_page(&rows, namespace, order, page_size, scan)
}

/// The tasks with these ids that a filter lets through, in the order of the ids, without payload and result.
pub async fn task_list_of(
    pool: &PgPool,
    namespace: Namespace,
    filter: &Filter,
    ids: &[Uuid],
) -> Result<Vec<Task>, sqlx::Error> {
    let order = Order::default();
    let query = QueryBuilder::new(
        "with numbered as materialized (
            select id, null::timestamptz as finished_at, place as number from unnest(",
    );
    let mut list = List { namespace, filter, order, after: None, walked: None, query };
    list.query.push_bind(ids.to_vec()).push("::uuid[]) with ordinality as i (id, place))");
    let page_size = i64::try_from(ids.len()).unwrap_or(i64::MAX - 1);
    list.push_tasks(page_size);
    let rows = list.query.build().fetch_all(pool).await?;
    Ok(read_page(&rows, namespace, order, page_size, i64::MAX)?.tasks)
}

/// An index that the search reader fills.
#[derive(Clone, Debug)]
enum Walked {
    Label(String, String),
    Creator(String),
}

impl Walked {
    const fn table(&self) -> &'static str {
        match self {
            Self::Label(..) => "tasks.search_labels",
            Self::Creator(_) => "tasks.search",
        }
    }

    const fn columns(&self) -> &'static [&'static str] {
        match self {
            Self::Label(..) => &["key", "value"],
            Self::Creator(_) => &["creator"],
        }
    }

    fn push_condition(&self, query: &mut QueryBuilder<Postgres>) {
        match self {
            Self::Label(key, value) => {
                query.push(" and key = ").push_bind(key.clone()).push(" and value = ").push_bind(value.clone());
            }
            Self::Creator(creator) => {
                query.push(" and creator <> '' and creator = ").push_bind(creator.clone());
            }
        }
    }
}

/// Of the labels and the creator, the one that fewest tasks have, as far as one page looks.
async fn rarest(pool: &PgPool, namespace: Namespace, filter: &Filter) -> Result<Option<Walked>, sqlx::Error> {
    let labels = filter.labels.iter().map(|(key, value)| Walked::Label(key.clone(), value.clone()));
    let mut known: Vec<Walked> = labels.chain(filter.creator.clone().map(Walked::Creator)).collect();
    if known.len() < 2 {
        return Ok(known.pop());
    }
    let mut query: QueryBuilder<Postgres> = QueryBuilder::new("select array[");
    for (place, walked) in known.iter().enumerate() {
        query.push(if place > 0 { ", " } else { "" });
        query.push(format!("(select count(*) from (select from {} where namespace = ", walked.table()));
        query.push_bind(namespace);
        walked.push_condition(&mut query);
        query.push(" limit ").push_bind(SCAN_MAX).push(") part)");
    }
    let counts: Vec<i64> = query.push("]").build_query_scalar().fetch_one(pool).await?;
    let (_, rarest) = counts.into_iter().zip(known).min_by_key(|(count, _)| *count).unzip();
    Ok(rarest)
}

struct List<'a> {
    namespace: Namespace,
    filter: &'a Filter,
    order: Order,
    after: Option<Cursor>,
    /// The index of a label or the creator.
    walked: Option<Walked>,
    query: QueryBuilder<Postgres>,
}

impl List<'_> {
    const fn by_finish(&self) -> bool {
        self.order.is_by_finish()
    }

    const fn direction(&self) -> &'static str {
        if matches!(self.order, Order::CreatedAsc | Order::FinishedAsc) { "asc" } else { "desc" }
    }

    const fn comparison(&self) -> &'static str {
        if matches!(self.order, Order::CreatedAsc | Order::FinishedAsc) { ">" } else { "<" }
    }

    /// Whether something is filtered that the walked index does not hold.
    fn has_residual_filter(&self) -> bool {
        let filter = self.filter;
        if filter.is_by_index() {
            return true;
        }
        let finish_range = filter.finished_after.is_some() || filter.finished_before.is_some();
        if self.by_finish() {
            let create_range = filter.created_after.is_some() || filter.created_before.is_some();
            !filter.states.is_empty() || filter.queue.is_some() || filter.kind.is_some() || create_range
        } else if filter.states.is_empty() {
            finish_range || (filter.queue.is_some() && filter.kind.is_some())
        } else {
            finish_range || filter.queue.is_some() || filter.kind.is_some()
        }
    }

    fn candidates(&mut self, scan: i64) {
        if self.by_finish() {
            self.query.push("select id, finished_at from tasks.finished");
            self.push_id_range();
            if let Some(after) = self.filter.finished_after {
                self.query.push(" and finished_at >= ").push_bind(after);
            }
            if let Some(before) = self.filter.finished_before {
                self.query.push(" and finished_at < ").push_bind(before);
            }
            let direction = self.direction();
            let order = format!(" order by namespace {direction}, finished_at {direction}, id {direction} limit ");
            self.query.push(order).push_bind(scan);
        } else if let Some(walked) = self.walked.clone() {
            self.query.push(format!("select id, null::timestamptz as finished_at from {}", walked.table()));
            self.push_id_range();
            walked.push_condition(&mut self.query);
            let direction = self.direction();
            let columns: String = walked.columns().iter().map(|column| format!(", {column} {direction}")).collect();
            let order = format!(" order by namespace {direction}{columns}, id {direction} limit ");
            self.query.push(order).push_bind(scan);
        } else if self.filter.states.is_empty() {
            self.query.push("select id, null::timestamptz as finished_at from tasks.documents");
            self.push_id_range();
            let mut order = String::from(" order by namespace ");
            order.push_str(self.direction());
            if let Some(queue) = &self.filter.queue {
                self.query.push(" and queue = ").push_bind(queue.clone());
                order.push_str(&format!(", queue {}", self.direction()));
            } else if let Some(kind) = &self.filter.kind {
                self.query.push(" and kind = ").push_bind(kind.clone());
                order.push_str(&format!(", kind {}", self.direction()));
            }
            order.push_str(&format!(", id {} limit ", self.direction()));
            self.query.push(order).push_bind(scan);
        } else {
            self.query.push("select id, null::timestamptz as finished_at from (");
            let states = self.filter.states.clone();
            for (index, state) in states.into_iter().enumerate() {
                self.query.push(if index == 0 { "(select id from " } else { " union all (select id from " });
                self.query.push(if state.is_finished() { "tasks.finished" } else { "tasks.active" });
                self.push_id_range();
                self.query.push(" and state = ").push_bind(state as i16);
                let direction = self.direction();
                let order = format!(" order by namespace {direction}, state {direction}, id {direction} limit ");
                self.query.push(order).push_bind(scan).push(")");
            }
            let order = format!(") part order by id {} limit ", self.direction());
            self.query.push(order).push_bind(scan);
        }
        self.query.push(")");
    }

    /// `where` namespace, the range of ids that the times of creation give, and what lies behind the cursor. The order
    /// by finish walks whole partitions, so that it never passes over more rows than it counts as candidates.
    fn push_id_range(&mut self) {
        self.query.push(" where namespace = ").push_bind(self.namespace);
        let whole = self.by_finish();
        if let Some(after) = self.filter.created_after {
            let from = if whole { partitions::starts_at(after) } else { after };
            self.query.push(" and id >= ").push_bind(id::lower_bound(from));
        }
        if let Some(before) = self.filter.created_before {
            let to = if whole { partitions::ends_at(before) } else { before };
            self.query.push(" and id < ").push_bind(id::lower_bound(to));
        }
        let Some(cursor) = self.after else { return };
        if let (true, Some(finished_at)) = (self.by_finish(), cursor.finished_at) {
            self.query.push(format!(" and (finished_at, id) {} (", self.comparison()));
            self.query.push_bind(finished_at).push(", ").push_bind(cursor.id).push(")");
        } else {
            self.query.push(format!(" and id {} ", self.comparison())).push_bind(cursor.id);
        }
    }

    fn push_page(&mut self, page_size: i64) {
        let direction = self.direction();
        let order = if self.by_finish() {
            format!("c.finished_at {direction}, c.id {direction}")
        } else {
            format!("c.id {direction}")
        };
        self.query.push(format!(
            ", numbered as materialized (
                select c.*, row_number() over (order by {order}) as number from candidate c
            )"
        ));
        self.push_tasks(page_size);
    }

    /// The tasks of what is numbered that the filter lets through.
    fn push_tasks(&mut self, page_size: i64) {
        self.query.push(
            ", page as (
                select
                    n.number, n.id, d.queue, d.kind, d.title, d.description, d.labels::text as labels, d.creator,
                    d.created_at, d.timeout_ms, d.backoff_ms, d.backoff_max_ms, d.attempts_max,
                    coalesce(a.state, f.state) as state, coalesce(a.priority, f.priority) as priority,
                    coalesce(a.due_at, f.due_at) as due_at, coalesce(a.started_at, f.started_at) as started_at,
                    f.finished_at, coalesce(a.version, f.version) as version, coalesce(a.run, f.run) as run,
                    coalesce(a.attempt, f.attempt) as attempt, coalesce(a.error, f.error) as error
                from numbered n
                cross join lateral (
                    select * from tasks.documents d where d.id = n.id and not d.is_deleted and d.namespace = ",
        );
        self.query.push_bind(self.namespace).push(" offset 0) d left join lateral (select * from tasks.active a ");
        self.query.push("where a.id = n.id and a.namespace = ").push_bind(self.namespace);
        self.query.push(" offset 0) a on true left join lateral (select * from tasks.finished f where f.id = n.id ");
        self.query.push("and f.namespace = ").push_bind(self.namespace).push(" offset 0) f on true where true");
        let filter = self.filter;
        if !filter.states.is_empty() {
            let states: Vec<i16> = filter.states.iter().map(|state| *state as i16).collect();
            self.query.push(" and coalesce(a.state, f.state) = any (").push_bind(states).push(")");
        } else {
            self.query.push(" and coalesce(a.state, f.state) is not null");
        }
        if let Some(queue) = &filter.queue {
            self.query.push(" and d.queue = ").push_bind(queue.clone());
        }
        if let Some(kind) = &filter.kind {
            self.query.push(" and d.kind = ").push_bind(kind.clone());
        }
        if !filter.labels.is_empty() {
            let labels = super::labels_to_json(&filter.labels);
            self.query.push(" and d.labels @> ").push_bind(labels).push("::text::jsonb");
        }
        if let Some(creator) = &filter.creator {
            self.query.push(" and d.creator = ").push_bind(creator.clone());
        }
        if let Some(after) = filter.created_after {
            self.query.push(" and n.id >= ").push_bind(id::lower_bound(after));
        }
        if let Some(before) = filter.created_before {
            self.query.push(" and n.id < ").push_bind(id::lower_bound(before));
        }
        if let Some(after) = filter.finished_after {
            self.query.push(" and f.finished_at >= ").push_bind(after);
        }
        if let Some(before) = filter.finished_before {
            self.query.push(" and f.finished_at < ").push_bind(before);
        }
        self.query.push(" order by n.number limit ").push_bind(page_size + 1);
        self.query.push(
            "), scanned as (
                select count(*) as count, (array_agg(id order by number desc))[1] as last_id,
                    (array_agg(finished_at order by number desc))[1] as last_finished_at
                from numbered
            )
            select s.count as scanned, s.last_id, s.last_finished_at, p.*
            from scanned s left join page p on true order by p.number",
        );
    }
}

fn read_page(
    rows: &[PgRow],
    namespace: Namespace,
    order: Order,
    page_size: i64,
    scan: i64,
) -> Result<Page, sqlx::Error> {
    let mut tasks = Vec::with_capacity(rows.len());
    for row in rows {
        if row.try_get::<Option<i64>, _>("number")?.is_some() {
            tasks.push(read_task(row, namespace)?);
        }
    }
    let size = usize::try_from(page_size).unwrap_or(usize::MAX);
    let next = if tasks.len() > size {
        tasks.truncate(size);
        tasks.last().map(|task| Cursor { id: task.id, finished_at: task.finished_at })
    } else {
        // All candidates were looked at: more may follow only if there were as many as could be.
        let first = rows.first();
        let scanned: i64 = first.map_or(Ok(0), |row| row.try_get("scanned"))?;
        match first {
            Some(row) if scanned >= scan => {
                Some(Cursor { id: row.try_get("last_id")?, finished_at: row.try_get("last_finished_at")? })
            }
            _ => None,
        }
    };
    Ok(Page {
        tasks,
        next: next.map(|cursor| Cursor { finished_at: cursor.finished_at.filter(|_| order.is_by_finish()), ..cursor }),
    })
}

fn read_task(row: &PgRow, namespace: Namespace) -> Result<Task, sqlx::Error> {
    let labels: String = row.try_get("labels")?;
    let state: TaskState = super::state(row.try_get("state")?)?;
    Ok(Task {
        id: row.try_get("id")?,
        namespace,
        queue: row.try_get("queue")?,
        kind: row.try_get("kind")?,
        state,
        title: row.try_get("title")?,
        description: row.try_get("description")?,
        labels: super::labels_from_json(Some(&labels)),
        priority: u8::try_from(row.try_get::<i16, _>("priority")?).unwrap_or(0),
        creator: row.try_get("creator")?,
        created_at: row.try_get("created_at")?,
        due_at: row.try_get("due_at")?,
        started_at: row.try_get("started_at")?,
        finished_at: row.try_get("finished_at")?,
        timeout: super::duration(row.try_get("timeout_ms")?),
        retry: super::retry_policy(
            row.try_get("attempts_max")?,
            row.try_get("backoff_ms")?,
            row.try_get("backoff_max_ms")?,
        ),
        version: row.try_get::<i32, _>("version")?.cast_unsigned(),
        run: row.try_get::<i32, _>("run")?.cast_unsigned(),
        attempt: row.try_get::<i16, _>("attempt")?.cast_unsigned(),
        error: row.try_get("error")?,
        payload: Vec::new(),
        result: Vec::new(),
    })
}
