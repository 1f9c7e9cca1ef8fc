-- The engine: tasks, their events, queues, workers' sessions, the leader.
--
-- Narrow rows change, wide rows do not: a state change touches `active` (and then `finished`) and appends to `events`,
-- never `documents`. No foreign keys between task tables. States and event types are the numbers of
-- `taskyard_core::TaskState` and `EventType`. Every statement locks in one order: leader, sessions, active rows, each
-- by key.

create table tasks.namespaces (
    id integer generated always as identity primary key,
    name text collate "C" not null unique
);

insert into tasks.namespaces (name) values ('default');

create table tasks.queues (
    namespace integer not null,
    name text collate "C" not null,
    paused boolean not null default false,
    -- null: no limit
    concurrency_max integer check (concurrency_max > 0),
    created_at timestamptz not null default now(),
    primary key (namespace, name)
);

-- The event order. A database that was restored, or promoted from a replica, begins a new epoch.
create table tasks.epochs (
    epoch integer primary key,
    system_identifier bigint not null,
    timeline bigint not null,
    opened_at timestamptz not null default now(),
    -- set when it is closed: the closing transaction, and the position of its last event
    closed_xact bigint,
    last_xact bigint,
    last_seq bigint
);

-- One row. `term` is in a unique index, so that FOR KEY SHARE holds off a new term but lets a renewal pass.
create table tasks.leader (
    one boolean primary key default true check (one),
    term bigint not null unique,
    pod text not null,
    renewed_at timestamptz not null
) with (fillfactor = 20);

insert into tasks.leader (term, pod, renewed_at) values (0, '', '-infinity');

-- A worker's life. `connection` is in a unique index for the same reason: starts (FOR KEY SHARE) and renewals pass
-- each other; hello and expiry, which raise it, exclude both.
create table tasks.sessions (
    id uuid primary key,
    namespace integer not null,
    connection integer not null,
    is_open boolean not null,
    expires_at timestamptz not null,
    pod text not null,
    name text not null,
    queues text[] not null,
    kinds text[] not null,
    slots integer not null,
    opened_at timestamptz not null default now(),
    closed_at timestamptz,
    unique (id, connection)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- What is written once: texts, payload, settings. A deleted task leaves an emptied row, so that its id stays taken.
create table tasks.documents (
    namespace integer not null,
    id uuid not null,
    created_at timestamptz not null,
    timeout_ms integer not null,
    backoff_ms integer not null,
    backoff_max_ms integer not null,
    attempts_max smallint not null,
    is_deleted boolean not null default false,
    -- of the create request, to tell a repetition from another request
    fingerprint uuid not null,
    queue text collate "C" not null,
    kind text collate "C" not null,
    creator text not null,
    title text not null,
    description text not null,
    labels jsonb not null,
    payload bytea not null,
    primary key (namespace, id)
) partition by range (id);

create index documents_queue on tasks.documents (namespace, queue, id);
create index documents_kind on tasks.documents (namespace, kind, id);

-- Tasks that are not finished. The one hot table: no text but the two names, rows of about 150 bytes, room for new
-- versions on the page, vacuumed early and without pause.
create table tasks.active (
    namespace integer not null,
    id uuid not null,
    -- the last transaction that changed the row; the next one must have a higher id, so that versions and positions
    -- of a task's events have one order
    xact bigint not null,
    due_at timestamptz not null,
    started_at timestamptz,
    deadline_at timestamptz,
    session uuid,
    version integer not null,
    run integer not null,
    timeout_ms integer not null,
    backoff_ms integer not null,
    backoff_max_ms integer not null,
    payload_bytes integer not null,
    state smallint not null,
    priority smallint not null,
    attempt smallint not null,
    attempts_max smallint not null,
    returns smallint not null,
    queue text collate "C" not null,
    kind text collate "C" not null,
    error text,
    primary key (namespace, id)
) with (
    fillfactor = 60,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000
);

create index active_state on tasks.active (namespace, state, id);
create index active_ready on tasks.active (namespace, queue, kind, priority desc, due_at, id) where state = 3;
create index active_due on tasks.active (due_at) where state = 2;
create index active_session on tasks.active (session) where state = 4;
create index active_deadline on tasks.active (deadline_at) where state = 4;

-- Rows that no rule allows; always empty, so that to look for them costs nothing.
create index active_odd on tasks.active (namespace, id)
where
    (state = 4 and (session is null or deadline_at is null))
    or (state <> 4 and (session is not null or deadline_at is not null));

create table tasks.finished (
    namespace integer not null,
    id uuid not null,
    xact bigint not null,
    due_at timestamptz not null,
    started_at timestamptz,
    finished_at timestamptz not null,
    session uuid,
    version integer not null,
    run integer not null,
    payload_bytes integer not null,
    state smallint not null,
    priority smallint not null,
    attempt smallint not null,
    queue text collate "C" not null,
    kind text collate "C" not null,
    error text,
    result bytea,
    primary key (namespace, id)
) partition by range (id);

create index finished_state on tasks.finished (namespace, state, id);
create index finished_at on tasks.finished (namespace, finished_at, id);

-- Every change of every task, in the transaction of the change. Title, labels and creator stand in `documents`;
-- here only what a change gave them.
create table tasks.events (
    at timestamptz not null,
    xact bigint not null,
    seq bigint generated always as identity (cache 100),
    namespace integer not null,
    epoch integer not null,
    task_id uuid not null,
    session uuid,
    due_at timestamptz,
    version integer not null,
    run integer not null,
    type smallint not null,
    from_state smallint,
    to_state smallint,
    attempt smallint not null,
    returns smallint not null,
    priority smallint,
    is_counted boolean not null default false,
    queue text collate "C" not null,
    kind text collate "C" not null,
    reason text,
    error text,
    title text,
    description text,
    labels jsonb
) partition by range (at);

create index events_position on tasks.events (epoch, xact, seq);
create index events_task on tasks.events (namespace, task_id, version);

create table tasks.idempotency_keys (
    namespace integer not null,
    key text collate "C" not null,
    fingerprint uuid not null,
    task_id uuid not null,
    expires_at timestamptz not null,
    primary key (namespace, key)
);

create index idempotency_keys_expiry on tasks.idempotency_keys (expires_at);
