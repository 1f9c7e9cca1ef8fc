-- What administrators of the installation set and see across namespaces, and what they did.

alter table tasks.namespaces
    -- null: what the installation has for all
    add column active_tasks_max bigint,
    add column payload_bytes_max bigint,
    add column queues_max integer;

-- Whether anybody but the user has said that the address is theirs: an administrator, or another issuer.
alter table tasks.users add column is_email_proven boolean not null default false;

create table tasks.audit (
    number bigint generated always as identity primary key,
    at timestamptz not null default now(),
    user_id uuid not null,
    email text not null,
    action text not null,
    -- a namespace's name or a user's address
    subject text not null,
    detail text not null
);
