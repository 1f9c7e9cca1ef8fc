//! Where the reader of the event order stands that fills the search index.

use sqlx::PgPool;
use taskyard_core::{Position, task::Namespace};
use uuid::Uuid;

/// A document or an indexed task.
pub type TaskKey = (Namespace, Uuid);

/// Before the first task.
pub const FIRST: TaskKey = (Namespace::MIN, Uuid::nil());

/// Where the reader stands. What it does next is done only if it still stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The last event that was taken in.
    pub position: Position,
    /// Counts the fills.
    pub fill: i32,
    /// How far the documents are gone through; none once they are through.
    pub filled_to: Option<TaskKey>,
}

/// How the index stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub place: Place,
    /// Every task was taken in at least once.
    pub is_whole: bool,
    /// Documents that this fill went through.
    pub filled: i64,
}

impl Standing {
    /// Nothing was ever read.
    pub const fn is_new(&self) -> bool {
        self.place.position.epoch < 0
    }
}

/// Reads how the index stands.
pub async fn search_reader_read(pool: &PgPool) -> Result<Standing, sqlx::Error> {
    let row = sqlx::query!(
        "select epoch, xact, seq, fill, fill_namespace, fill_id, is_whole, filled from tasks.search_reader where one"
    )
    .fetch_one(pool)
    .await?;
    Ok(Standing {
        place: Place {
            position: Position { epoch: row.epoch, xact: row.xact, seq: row.seq },
            fill: row.fill,
            filled_to: row.fill_namespace.zip(row.fill_id),
        },
        is_whole: row.is_whole,
        filled: row.filled,
    })
}

/// Begins to go through all documents, and to read events after a position. That position is taken before the first
/// document is read, so what changes meanwhile comes as an event. Returns whether nobody else did so at that moment.
pub async fn search_reader_begin(pool: &PgPool, from: Place, position: Position) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        with begun as (
            update tasks.search_reader
            set epoch = $5, xact = $6, seq = $7, fill = fill + 1, fill_namespace = $8, fill_id = $9, filled = 0
            where epoch = $1 and xact = $2 and seq = $3 and fill = $4
            returning one
        ),
        -- All that was parked is gone through again.
        parked as (
            delete from tasks.search_parked where exists (select from begun)
        )
        select one as "one!" from begun
        "#,
        from.position.epoch,
        from.position.xact,
        from.position.seq,
        from.fill,
        position.epoch,
        position.xact,
        position.seq,
        FIRST.0,
        FIRST.1,
    )
    .fetch_optional(pool)
    .await?;
    Ok(done.is_some())
}

/// About how many documents there are.
pub async fn search_document_estimate(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let count = sqlx::query_scalar!(
        r#"
        select coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint as "count!"
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'tasks.documents'::regclass
        "#,
    )
    .fetch_one(pool)
    .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Forgets all words, for they are counted anew.
pub async fn search_dictionary_empty(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!("truncate table tasks.search_dictionary").execute(pool).await?;
    Ok(())
}
