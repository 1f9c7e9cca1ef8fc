//! The leader's row: who leads, under which term.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::task::Namespace;
use uuid::Uuid;

/// Takes the next term; waits for the last statement of the term before.
pub async fn term_take(pool: &PgPool, pod: &str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        update tasks.leader set term = term + 1, pod = $1, renewed_at = now()
        returning term
        "#,
        pod,
    )
    .fetch_one(pool)
    .await
}

/// Takes the next term if the leader has written nothing for 10 s: the way without Redis.
pub async fn term_take_abandoned(pool: &PgPool, pod: &str) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        update tasks.leader set term = term + 1, pod = $1, renewed_at = now()
        where renewed_at < now() - interval '10 seconds'
        returning term
        "#,
        pod,
    )
    .fetch_optional(pool)
    .await
}

/// What the leader learns from a renewal.
#[derive(Clone, Copy, Debug)]
pub struct Renewed {
    /// The database's clock.
    pub now: DateTime<Utc>,
    /// There are sessions past their time.
    pub has_lapsed: bool,
    /// There are runs past their deadline.
    pub has_overdue: bool,
}

/// The leader's sign of life. `None`: there is a newer term.
pub async fn term_renew(pool: &PgPool, term: i64) -> Result<Option<Renewed>, sqlx::Error> {
    sqlx::query_as!(
        Renewed,
        r#"
        update tasks.leader set renewed_at = now() where term = $1
        returning
            now() as "now!",
            exists (select from tasks.sessions s where s.is_open and s.expires_at < now()) as "has_lapsed!",
            exists (
                select from tasks.active
                where state = 4 and deadline_at < now() - interval '5 seconds'
            ) as "has_overdue!"
        "#,
        term,
    )
    .fetch_optional(pool)
    .await
}

/// What runs in the queues that have a concurrency limit.
pub async fn limited_run_list(pool: &PgPool) -> Result<Vec<(Namespace, String, Uuid, i32)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select a.namespace, a.queue, a.id, a.run
        from tasks.queues q
        join tasks.active a on a.namespace = q.namespace and a.state = 4 and a.queue = q.name
        where q.concurrency_max is not null
        "#,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.namespace, row.queue, row.id, row.run)).collect())
}
