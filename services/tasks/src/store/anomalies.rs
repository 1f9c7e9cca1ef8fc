//! Rows that no rule allows, each with its repair. ARCHITECTURE.md holds the same table.

use sqlx::PgPool;
use taskyard_core::task::Namespace;
use uuid::Uuid;

/// What should not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// A running row without a session, or whose session is not known: it would never end.
    RunWithoutSession,
    /// A running row without a deadline.
    RunWithoutDeadline,
    /// A waiting row with a session or a deadline.
    WaitingWithSession,
    /// An active row whose task is finished as well: the finished row is the newer word.
    ActiveAndFinished,
    /// An active row without a document: nothing could be run.
    ActiveWithoutDocument,
}

impl Anomaly {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::RunWithoutSession,
        Self::RunWithoutDeadline,
        Self::WaitingWithSession,
        Self::ActiveAndFinished,
        Self::ActiveWithoutDocument,
    ];

    /// The metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RunWithoutSession => "run_without_session",
            Self::RunWithoutDeadline => "run_without_deadline",
            Self::WaitingWithSession => "waiting_with_session",
            Self::ActiveAndFinished => "active_and_finished",
            Self::ActiveWithoutDocument => "active_without_document",
        }
    }
}

/// A task's place in the order of the active table; none is its beginning or end.
pub type Place = Option<(Namespace, Uuid)>;

/// Rows that one look at the whole table covers; the next look goes on behind them.
const WINDOW_ROWS: i64 = 5_000;

/// Where the window that begins here ends.
pub async fn window_next(pool: &PgPool, from: Place) -> Result<Place, sqlx::Error> {
    let (namespace, id) = from.unwrap_or((Namespace::MIN, Uuid::nil()));
    let row = sqlx::query!(
        r#"
        select namespace, id from tasks.active where (namespace, id) > ($1, $2)
        order by namespace, id offset $3 limit 1
        "#,
        namespace,
        id,
        WINDOW_ROWS,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| (row.namespace, row.id)))
}

/// Repairs rows of this kind, for the leader of this term, and returns how many. The two kinds that cannot be found by
/// an index are looked for in a window of the table.
pub async fn anomaly_repair(
    pool: &PgPool,
    term: i64,
    anomaly: Anomaly,
    window: std::ops::Range<Place>,
) -> Result<u64, sqlx::Error> {
    let done = match anomaly {
        Anomaly::RunWithoutSession => {
            sqlx::query!(
                r#"
                with fence as materialized (
                    select term from tasks.leader where term = $1 for key share
                ),
                odd as materialized (
                    select * from tasks.active a
                    where a.state = 4
                        and (
                            a.session is null
                            or not exists (select from tasks.sessions s where s.id = a.session)
                        )
                        and a.xact < pg_current_xact_id()::text::bigint
                        and exists (select from fence)
                    order by a.namespace, a.id
                    limit 500
                    for update
                ),
                back as (
                    update tasks.active a
                    set state = 3, session = null, deadline_at = null, version = a.version + 1,
                        xact = pg_current_xact_id()::text::bigint
                    from odd o where a.namespace = o.namespace and a.id = o.id
                )
                insert into tasks.events (
                    at, xact, namespace, epoch, task_id, version, run, type, from_state, to_state, attempt, returns,
                    queue, kind, reason
                )
                select
                    now(), pg_current_xact_id()::text::bigint, namespace, (select max(epoch) from tasks.epochs), id,
                    version + 1, run, 4, 4, 3, attempt, returns, queue, kind, 'repaired'
                from odd
                "#,
                term,
            )
            .execute(pool)
            .await?
        }
        Anomaly::RunWithoutDeadline => {
            sqlx::query!(
                r#"
                update tasks.active
                set deadline_at = now() + timeout_ms * interval '1 millisecond'
                where state = 4 and session is not null and deadline_at is null
                    and (
                        (state = 4 and (session is null or deadline_at is null))
                        or (state <> 4 and (session is not null or deadline_at is not null))
                    )
                    and exists (select from tasks.leader where term = $1)
                "#,
                term,
            )
            .execute(pool)
            .await?
        }
        Anomaly::WaitingWithSession => {
            sqlx::query!(
                r#"
                update tasks.active
                set session = null, deadline_at = null
                where state <> 4 and (session is not null or deadline_at is not null)
                    and (
                        (state = 4 and (session is null or deadline_at is null))
                        or (state <> 4 and (session is not null or deadline_at is not null))
                    )
                    and exists (select from tasks.leader where term = $1)
                "#,
                term,
            )
            .execute(pool)
            .await?
        }
        Anomaly::ActiveAndFinished => {
            let odd = odd_active_and_finished(pool, window).await?;
            if odd.is_empty() {
                return Ok(0);
            }
            sqlx::query!(
                r#"
                delete from tasks.active a
                using unnest($2::int[], $3::uuid[], $4::bigint[]) as o (namespace, id, xact)
                where a.namespace = o.namespace and a.id = o.id and a.xact = o.xact
                    and exists (select from tasks.leader where term = $1)
                "#,
                term,
                &odd.namespaces,
                &odd.ids,
                &odd.xacts,
            )
            .execute(pool)
            .await?
        }
        Anomaly::ActiveWithoutDocument => {
            let odd = odd_active_without_document(pool, window).await?;
            if odd.is_empty() {
                return Ok(0);
            }
            sqlx::query!(
                r#"
                with gone as (
                    delete from tasks.active a
                    using unnest($2::int[], $3::uuid[], $4::bigint[]) as o (namespace, id, xact)
                    where a.namespace = o.namespace and a.id = o.id and a.xact = o.xact
                        and exists (select from tasks.leader where term = $1)
                    returning a.*
                )
                insert into tasks.events (
                    at, xact, namespace, epoch, task_id, version, run, type, from_state, attempt, returns, queue, kind,
                    reason
                )
                select
                    now(), pg_current_xact_id()::text::bigint, namespace, (select max(epoch) from tasks.epochs), id,
                    version + 1, run, 10, state, attempt, returns, queue, kind, 'repaired'
                from gone
                "#,
                term,
                &odd.namespaces,
                &odd.ids,
                &odd.xacts,
            )
            .execute(pool)
            .await?
        }
    };
    Ok(done.rows_affected())
}

/// Odd rows, as they were found: they are repaired only if nobody has changed them since.
#[derive(Debug, Default)]
struct Odd {
    namespaces: Vec<Namespace>,
    ids: Vec<Uuid>,
    xacts: Vec<i64>,
}

impl Odd {
    const fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

async fn odd_active_and_finished(pool: &PgPool, window: std::ops::Range<Place>) -> Result<Odd, sqlx::Error> {
    let ((from_namespace, from_id), (to_namespace, to_id)) = bounds(window);
    sqlx::query_as!(
        Odd,
        r#"
        select
            coalesce(array_agg(a.namespace), '{}') as "namespaces!", coalesce(array_agg(a.id), '{}') as "ids!",
            coalesce(array_agg(a.xact), '{}') as "xacts!"
        from tasks.active a
        where (a.namespace, a.id) > ($1, $2) and (a.namespace, a.id) <= ($3, $4)
            and exists (select from tasks.finished f where f.namespace = a.namespace and f.id = a.id)
        "#,
        from_namespace,
        from_id,
        to_namespace,
        to_id,
    )
    .fetch_one(pool)
    .await
}

async fn odd_active_without_document(pool: &PgPool, window: std::ops::Range<Place>) -> Result<Odd, sqlx::Error> {
    let ((from_namespace, from_id), (to_namespace, to_id)) = bounds(window);
    sqlx::query_as!(
        Odd,
        r#"
        select
            coalesce(array_agg(a.namespace), '{}') as "namespaces!", coalesce(array_agg(a.id), '{}') as "ids!",
            coalesce(array_agg(a.xact), '{}') as "xacts!"
        from tasks.active a
        where (a.namespace, a.id) > ($1, $2) and (a.namespace, a.id) <= ($3, $4)
            and not exists (
                select from tasks.documents d where d.namespace = a.namespace and d.id = a.id and not d.is_deleted
            )
        "#,
        from_namespace,
        from_id,
        to_namespace,
        to_id,
    )
    .fetch_one(pool)
    .await
}

fn bounds(window: std::ops::Range<Place>) -> ((Namespace, Uuid), (Namespace, Uuid)) {
    let from = window.start.unwrap_or((Namespace::MIN, Uuid::nil()));
    let to = window.end.unwrap_or((Namespace::MAX, Uuid::max()));
    (from, to)
}
