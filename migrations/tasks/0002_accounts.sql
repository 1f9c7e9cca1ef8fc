-- Accounts: users and their sign-ins, namespaces and who may do what in them, keys of programs.
--
-- Secrets are stored as hashes only, but for the keys that sign access tokens. Whatever takes a right away raises
-- `identity_revision` in its own transaction: every process remembers whom it has verified, and forgets it then.

alter table tasks.namespaces
    add column created_at timestamptz not null default now(),
    -- null: nobody's yet
    add column owner uuid,
    -- the one that a user has from the start; it is never shared
    add column is_personal boolean not null default false,
    add column deleting_since timestamptz;

create table tasks.users (
    id uuid primary key,
    -- in lower case
    email text collate "C" not null unique,
    name text not null,
    -- as a PHC string; null: signs in at another issuer only
    password_hash text,
    is_admin boolean not null default false,
    is_disabled boolean not null default false,
    namespace integer not null,
    created_at timestamptz not null default now()
);

create table tasks.members (
    namespace integer not null,
    user_id uuid not null,
    -- `taskyard_core::identity::Role`
    role smallint not null,
    since timestamptz not null default now(),
    primary key (namespace, user_id)
);

create index members_user on tasks.members (user_id, namespace);

create table tasks.invitations (
    id uuid primary key,
    namespace integer not null,
    email text collate "C" not null,
    role smallint not null,
    secret_hash bytea not null,
    invited_by uuid not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    unique (namespace, email)
);

create unique index invitations_secret on tasks.invitations (secret_hash);

-- One for each time that somebody signs in, until that ends; access tokens name it.
create table tasks.sign_ins (
    id uuid primary key,
    user_id uuid not null,
    created_at timestamptz not null default now(),
    refreshed_at timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at timestamptz,
    -- what it came from, as it said itself
    agent text not null
);

create index sign_ins_user on tasks.sign_ins (user_id, id);
create index sign_ins_expiry on tasks.sign_ins (expires_at);

-- Every refresh token of a sign-in: one that was replaced and comes again was stolen.
create table tasks.refresh_tokens (
    secret_hash bytea primary key,
    sign_in uuid not null,
    replaced_at timestamptz
);

create index refresh_tokens_sign_in on tasks.refresh_tokens (sign_in);

create table tasks.keys (
    id uuid primary key,
    namespace integer not null,
    name text not null,
    secret_hash bytea not null,
    -- the bits of `taskyard_core::identity::Scopes`
    scopes smallint not null,
    -- empty: all
    queues text[] not null,
    created_by uuid not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    -- to the minute
    last_used_at timestamptz,
    revoked_at timestamptz
);

create unique index keys_secret on tasks.keys (secret_hash);
create index keys_namespace on tasks.keys (namespace, id);

-- Ed25519. A new one is made before the newest is due, and shown in the key set before it signs anything.
create table tasks.signing_keys (
    id uuid primary key,
    pkcs8 bytea not null,
    signs_from timestamptz not null,
    signs_until timestamptz not null
);

create table tasks.identity_revision (
    one boolean primary key default true check (one),
    revision bigint not null
);

insert into tasks.identity_revision (revision) values (0);

-- Whose worker it is, so that each renewal can ask whether that may still be.
alter table tasks.sessions
    add column key_id uuid,
    add column sign_in uuid;
