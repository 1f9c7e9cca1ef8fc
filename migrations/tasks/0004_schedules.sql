-- Schedules: tasks that are made again and again.
--
-- What a person wants stands in `schedules` and changes by a person only; what a tick changes stands in
-- `schedule_states`, which is narrow. A tick is (schedule, time): its row is written by the statement that makes its
-- task, so there can never be a second task for it. Locks: the leader's row, then `schedule_states`, each by key.

create table tasks.schedules (
    id bigint generated always as identity primary key,
    namespace integer not null,
    name text collate "C" not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    creator text not null,
    -- when: one of the three
    cron text,
    time_zone text,
    interval_ms bigint check (interval_ms > 0),
    anchor_at timestamptz,
    once_at timestamptz,
    starts_at timestamptz,
    ends_at timestamptz,
    -- missed ticks that are caught up: 0 none, null one in place of all
    catch_up_max smallint,
    -- a tick is passed over while the last task is not finished
    skips_overlap boolean not null,
    jitter_ms integer not null,
    -- the task of each tick
    priority smallint not null,
    attempts_max smallint not null,
    timeout_ms integer not null,
    backoff_ms integer not null,
    backoff_max_ms integer not null,
    queue text collate "C" not null,
    kind text collate "C" not null,
    title text not null,
    description text not null,
    labels jsonb not null,
    payload bytea not null,
    unique (namespace, name),
    check (num_nonnulls(cron, interval_ms, once_at) = 1),
    check ((cron is null) = (time_zone is null)),
    check ((interval_ms is null) = (anchor_at is null))
);

create table tasks.schedule_states (
    schedule bigint primary key,
    namespace integer not null,
    -- of what a person wants: a tick that was planned by an older one is not carried out
    version integer not null,
    paused boolean not null,
    -- null: paused, or over
    next_at timestamptz,
    last_task uuid
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create index schedule_states_next on tasks.schedule_states (next_at) where next_at is not null;

create table tasks.schedule_ticks (
    schedule bigint not null,
    -- the time that the schedule names; of a run by hand, when that was
    tick_at timestamptz not null,
    namespace integer not null,
    fired_at timestamptz not null,
    -- of `taskyard_core::schedule::TickKind`
    kind smallint not null,
    task_id uuid,
    primary key (schedule, tick_at)
);
