//! Ticks: the one statement by which schedules make tasks, and their history.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::PgPool;
use taskyard_core::{
    limits,
    schedule::{CatchUp, LABEL_SCHEDULE, LABEL_TICK, Overlap, Tick, TickKind, Times},
    task::Namespace,
};
use uuid::Uuid;

use super::{
    ready::ReadyTask,
    schedules::row::{TimesColumns, catch_up_from_column, overlap_from_column},
};

/// A schedule whose time has come.
#[derive(Debug)]
pub struct DueSchedule {
    pub schedule: i64,
    pub namespace: Namespace,
    /// Of each of its tasks.
    pub payload_bytes: usize,
    pub version: i32,
    pub next_at: DateTime<Utc>,
    pub catch_up: CatchUp,
    pub overlap: Overlap,
    /// What it goes by; or why that cannot be read.
    pub times: Result<Times, sqlx::Error>,
}

/// What is due, by the database's clock.
#[derive(Debug)]
pub struct Due {
    pub now: DateTime<Utc>,
    pub schedules: Vec<DueSchedule>,
    /// How long until the next one of all others is due.
    pub next_in_ms: Option<i64>,
}

/// The schedules whose time has come, but those of some namespaces, the longest due first.
pub async fn schedule_due_list(pool: &PgPool, except: &[Namespace], rows_max: i64) -> Result<Due, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        with due as materialized (
            select schedule, namespace, version, next_at
            from tasks.schedule_states
            where next_at <= now() and namespace <> all($1)
            order by next_at
            limit $2
        )
        select
            now() as "now!",
            (
                select (extract(epoch from s.next_at - now()) * 1000)::bigint
                from tasks.schedule_states s where s.next_at > now() order by s.next_at limit 1
            ) as next_in_ms,
            due.schedule as "schedule?", due.namespace as "namespace?", due.version as "version?",
            due.next_at as "next_at?: DateTime<Utc>", length(d.payload) as payload_bytes,
            d.cron, d.time_zone, d.interval_ms, d.anchor_at, d.once_at, d.starts_at, d.ends_at, d.catch_up_max,
            d.skips_overlap as "skips_overlap?"
        from (select) one
        left join (due join tasks.schedules d on d.id = due.schedule) on true
        "#,
        except,
        rows_max,
    )
    .fetch_all(pool)
    .await?;
    let mut due = Due { now: DateTime::UNIX_EPOCH, schedules: Vec::with_capacity(rows.len()), next_in_ms: None };
    for row in rows {
        due.now = row.now;
        due.next_in_ms = row.next_in_ms;
        let (Some(schedule), Some(namespace), Some(version), Some(next_at)) =
            (row.schedule, row.namespace, row.version, row.next_at)
        else {
            continue;
        };
        let times = TimesColumns {
            cron: row.cron,
            time_zone: row.time_zone,
            interval_ms: row.interval_ms,
            anchor_at: row.anchor_at,
            once_at: row.once_at,
            starts_at: row.starts_at,
            ends_at: row.ends_at,
        };
        due.schedules.push(DueSchedule {
            schedule,
            namespace,
            payload_bytes: row.payload_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default(),
            version,
            next_at,
            catch_up: catch_up_from_column(row.catch_up_max),
            overlap: overlap_from_column(row.skips_overlap.unwrap_or_default()),
            times: times.read(),
        });
    }
    Ok(due)
}

/// Who makes a schedule tick.
#[derive(Clone, Copy, Debug)]
pub enum Mover {
    /// The leader under its term, and only while the database's clock stands before a time.
    Leader { term: i64, before: DateTime<Utc> },
    /// A person: the schedule's own ticks stay as they are.
    Person,
}

/// What shall become of a schedule. It is carried out only if the schedule still has the version, and still waits for
/// the tick, that this was planned for; a person's order always is.
#[derive(Clone, Debug)]
pub struct Move {
    pub schedule: i64,
    pub version: i32,
    pub next_at: Option<DateTime<Utc>>,
    /// Where it goes on.
    pub then_at: Option<DateTime<Utc>>,
    pub ticks: Vec<NewTick>,
}

/// A tick of it.
#[derive(Clone, Copy, Debug)]
pub struct NewTick {
    /// Now, if there is none.
    pub at: Option<DateTime<Utc>>,
    pub kind: TickKind,
    /// The id of the task that it makes, if it makes one.
    pub task: Uuid,
}

/// What was carried out.
#[derive(Debug)]
pub struct Fired {
    /// False if there is a newer term.
    pub leads: bool,
    /// Schedules that were moved.
    pub moved: i64,
    /// Tasks that can start now.
    pub ready: Vec<ReadyTask>,
    /// The tasks that wait for their time, by id.
    pub scheduled: HashMap<Uuid, DateTime<Utc>>,
    /// All tasks that were made.
    pub made: Vec<Uuid>,
    /// What became of each tick.
    pub ticks: Vec<TickKind>,
}

/// Moves schedules on and makes the tasks of their ticks, in one statement that locks the leader's row, then the
/// schedules' states. A tick that is known makes nothing, whatever was planned; a task's id that is known fails it all.
pub async fn tick_fire_batch(pool: &PgPool, mover: Mover, moves: &[Move]) -> Result<Fired, sqlx::Error> {
    let (term, before) = match mover {
        Mover::Leader { term, before } => (Some(term), Some(before)),
        Mover::Person => (None, None),
    };
    let schedules: Vec<i64> = moves.iter().map(|one| one.schedule).collect();
    let versions: Vec<i32> = moves.iter().map(|one| one.version).collect();
    let next_times: Vec<Option<DateTime<Utc>>> = moves.iter().map(|one| one.next_at).collect();
    let then_times: Vec<Option<DateTime<Utc>>> = moves.iter().map(|one| one.then_at).collect();
    let ticks = || moves.iter().flat_map(|one| one.ticks.iter().map(|tick| (one.schedule, tick)));
    let tick_schedules: Vec<i64> = ticks().map(|(schedule, _)| schedule).collect();
    let tick_times: Vec<Option<DateTime<Utc>>> = ticks().map(|(_, tick)| tick.at).collect();
    let tick_kinds: Vec<i16> = ticks().map(|(_, tick)| tick.kind.number()).collect();
    let tick_tasks: Vec<Option<Uuid>> = ticks().map(|(_, tick)| tick.kind.makes_task().then_some(tick.task)).collect();
    // As a person reads it.
    let tick_names: Vec<Option<String>> =
        ticks().map(|(_, tick)| tick.at.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true))).collect();
    let rows = sqlx::query!(
        r#"
        with fence as materialized (
            select term from tasks.leader where term = $1 for key share
        ),
        may as materialized (
            select $1::bigint is null or exists (select from fence) as leads
        ),
        moves as materialized (
            select *
            from unnest($2::bigint[], $3::int[], $4::timestamptz[], $5::timestamptz[])
                as m (schedule, version, next_at, then_at)
            order by schedule
        ),
        ticks as materialized (
            select *
            from unnest($6::bigint[], $7::timestamptz[], $8::smallint[], $9::uuid[], $10::text[])
                with ordinality as t (schedule, tick_at, kind, task_id, name, number)
        ),
        picked as materialized (
            select s.schedule, s.namespace, s.next_at, s.last_task, m.then_at
            from moves m
            cross join lateral (
                select *
                from tasks.schedule_states s
                where s.schedule = m.schedule
                    and (
                        $1::bigint is null
                        or (
                            s.version = m.version
                            and s.next_at is not distinct from m.next_at
                            -- Never early, by the database's clock.
                            and s.next_at + interval '0' <= now()
                        )
                    )
                for no key update
            ) s
            where (select leads from may) and now() < coalesce($11, 'infinity'::timestamptz)
        ),
        busy as materialized (
            select p.schedule
            from picked p
            join tasks.schedules d on d.id = p.schedule
            where d.skips_overlap
                and exists (select from tasks.active a where a.namespace = p.namespace and a.id = p.last_task)
        ),
        -- What is known already makes nothing: that is what a tick's row is for.
        ticked as (
            insert into tasks.schedule_ticks as known (schedule, tick_at, namespace, fired_at, kind, task_id)
            select
                t.schedule, coalesce(t.tick_at, now()), p.namespace, now(),
                case when t.kind in (1, 2) and b.schedule is not null then 5 else t.kind end,
                case when t.kind in (1, 2) and b.schedule is not null then null else t.task_id end
            from ticks t
            join picked p on p.schedule = t.schedule
            left join busy b on b.schedule = t.schedule
            where coalesce(t.tick_at <= now(), true)
            on conflict (schedule, tick_at) do nothing
            returning known.schedule, known.namespace, known.kind, known.task_id
        ),
        fresh as materialized (
            select *, case when kind = $12 then 1 when due_at > now() then 2 else 3 end::smallint as state
            from (
                select
                    k.namespace, k.task_id as id, t.number, d.id as schedule, d.creator, d.timeout_ms, d.backoff_ms,
                    d.backoff_max_ms, d.attempts_max, d.queue, d.kind, d.title, d.description, d.priority, d.payload,
                    d.labels || jsonb_strip_nulls(jsonb_build_object($13::text, d.name, $14::text, t.name)) as labels,
                    now() + random() * d.jitter_ms * interval '1 millisecond' as due_at
                from ticked k
                join ticks t on t.schedule = k.schedule and t.task_id = k.task_id
                join tasks.schedules d on d.id = k.schedule
            ) f
        ),
        document as (
            insert into tasks.documents (
                namespace, id, created_at, timeout_ms, backoff_ms, backoff_max_ms, attempts_max, fingerprint, queue,
                kind, creator, title, description, labels, payload
            )
            select
                namespace, id, now(), timeout_ms, backoff_ms, backoff_max_ms, attempts_max, id, queue,
                kind, creator, title, description, labels, payload
            from fresh
        ),
        active as (
            insert into tasks.active (
                namespace, id, xact, due_at, version, run, timeout_ms, backoff_ms, backoff_max_ms, payload_bytes,
                state, priority, attempt, attempts_max, returns, queue, kind
            )
            select
                namespace, id, pg_current_xact_id()::text::bigint, due_at, 1, 0, timeout_ms, backoff_ms,
                backoff_max_ms, length(payload), state, priority, 0, attempts_max, 0, queue, kind
            from fresh
        ),
        event as (
            insert into tasks.events (
                at, xact, namespace, epoch, task_id, due_at, version, run, type, to_state, attempt, returns, priority,
                queue, kind, title, description, labels
            )
            select
                now(), pg_current_xact_id()::text::bigint, namespace, (select max(epoch) from tasks.epochs), id, due_at,
                1, 0, 1, state, 0, 0, priority, queue, kind, title, description, labels
            from fresh
        ),
        moved as (
            update tasks.schedule_states s
            set next_at = case when $1::bigint is null then p.next_at else p.then_at end,
                last_task = coalesce(
                    (select f.id from fresh f where f.schedule = p.schedule order by f.number desc limit 1), p.last_task
                )
            from picked p
            where s.schedule = p.schedule
            returning s.schedule
        )
        select
            (select leads from may) as "leads!",
            (select count(*) from moved) as "moved!",
            array(select kind from ticked) as "ticks!",
            f.namespace as "namespace?", f.id as "id?", f.queue as "queue?", f.kind as "kind?",
            f.priority as "priority?", f.due_at as "due_at?: DateTime<Utc>", f.state as "state?",
            length(f.payload) as payload_bytes
        from (select) one left join fresh f on true
        "#,
        term,
        &schedules,
        &versions,
        &next_times as _,
        &then_times as _,
        &tick_schedules,
        &tick_times as _,
        &tick_kinds,
        &tick_tasks as _,
        &tick_names as _,
        before,
        limits::KIND_MANUAL,
        LABEL_SCHEDULE,
        LABEL_TICK,
    )
    .fetch_all(pool)
    .await?;
    let first = rows.first();
    let mut fired = Fired {
        leads: first.is_some_and(|row| row.leads),
        moved: first.map_or(0, |row| row.moved),
        ticks: first.iter().flat_map(|row| &row.ticks).filter_map(|kind| TickKind::from_number(*kind)).collect(),
        ready: Vec::new(),
        scheduled: HashMap::new(),
        made: Vec::new(),
    };
    for row in rows {
        let (Some(namespace), Some(id), Some(due_at), Some(number)) = (row.namespace, row.id, row.due_at, row.state)
        else {
            continue;
        };
        fired.made.push(id);
        match super::state(number)? {
            taskyard_core::TaskState::Ready => fired.ready.push(ReadyTask {
                namespace,
                id,
                queue: row.queue.unwrap_or_default(),
                kind: row.kind.unwrap_or_default(),
                priority: row.priority.unwrap_or_default(),
                due_at,
                version: 1,
                payload_bytes: row.payload_bytes.unwrap_or_default(),
            }),
            taskyard_core::TaskState::Scheduled => drop(fired.scheduled.insert(id, due_at)),
            _ => {}
        }
    }
    Ok(fired)
}

/// The newest ticks of a schedule, newest first.
pub async fn tick_list_newest(pool: &PgPool, schedule: i64, rows_max: u32) -> Result<Vec<Tick>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select tick_at, fired_at, kind, task_id
        from tasks.schedule_ticks
        where schedule = $1
        order by tick_at desc
        limit $2
        "#,
        schedule,
        i64::from(rows_max),
    )
    .fetch_all(pool)
    .await?;
    let ticks = rows.into_iter().map(|row| {
        let kind = TickKind::from_number(row.kind);
        let kind = kind.ok_or_else(|| sqlx::Error::Decode(format!("{} is not a kind of tick", row.kind).into()))?;
        Ok(Tick { at: row.tick_at, kind, fired_at: row.fired_at, task: row.task_id })
    });
    ticks.collect()
}

/// Whether a schedule has made this task, by its history.
pub async fn tick_has_made(pool: &PgPool, schedule: i64, task: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from tasks.schedule_ticks where schedule = $1 and task_id = $2) as "has_made!""#,
        schedule,
        task,
    )
    .fetch_one(pool)
    .await
}

/// Forgets the ticks of some schedules but the newest ones, going through all schedules by number. Returns where to go
/// on; none at the end.
pub async fn tick_delete_old(
    pool: &PgPool,
    after: i64,
    schedules_max: i64,
    keep: u32,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with some_schedules as materialized (
            select schedule from tasks.schedule_states where schedule > $1 order by schedule limit $2
        ),
        bounds as materialized (
            select s.schedule, newest.tick_at
            from some_schedules s
            cross join lateral (
                select t.tick_at from tasks.schedule_ticks t
                where t.schedule = s.schedule
                order by t.tick_at desc
                offset $3 limit 1
            ) newest
        ),
        forgotten as (
            delete from tasks.schedule_ticks t using bounds b
            where t.schedule = b.schedule and t.tick_at <= b.tick_at
        )
        select max(schedule) from some_schedules
        "#,
        after,
        schedules_max,
        i64::from(keep),
    )
    .fetch_one(pool)
    .await
}

/// Forgets the ticks of schedules that are gone: of one that ticked while it was deleted.
pub async fn tick_delete_orphaned(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        with recursive known as (
            (select schedule from tasks.schedule_ticks order by schedule limit 1)
            union all
            select (
                select t.schedule from tasks.schedule_ticks t where t.schedule > known.schedule
                order by t.schedule limit 1
            )
            from known
            where known.schedule is not null
        ),
        gone as materialized (
            select schedule from known
            where schedule is not null
                and not exists (select from tasks.schedule_states s where s.schedule = known.schedule)
        )
        delete from tasks.schedule_ticks t using gone g where t.schedule = g.schedule
        "#,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
