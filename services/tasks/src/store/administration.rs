//! Quotas of namespaces, and what administrators of the installation see and do.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::task::Namespace;
use uuid::Uuid;

/// What a namespace may have; none: no limit, or that of the installation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    pub active_tasks_max: Option<i64>,
    pub payload_bytes_max: Option<i64>,
    pub queues_max: Option<i32>,
}

/// A namespace, as administrators see it.
#[derive(Clone, Debug)]
pub struct Overview {
    pub name: String,
    pub is_personal: bool,
    pub owner: Option<String>,
    pub members: i64,
    pub queues: i64,
    /// Counted up to a bound.
    pub active_tasks: i64,
    pub created_at: DateTime<Utc>,
    pub deleting_since: Option<DateTime<Utc>>,
    pub active_tasks_max: Option<i64>,
    pub payload_bytes_max: Option<i64>,
    pub queues_max: Option<i32>,
}

/// A user, as administrators see one.
#[derive(Clone, Debug)]
pub struct UserOverview {
    pub id: Uuid,
    pub email: String,
    pub name: String,
    pub is_admin: bool,
    pub is_disabled: bool,
    pub created_at: DateTime<Utc>,
    pub last_seen_at: Option<DateTime<Utc>>,
}

/// What an administrator did.
#[derive(Clone, Debug)]
pub struct Entry {
    pub number: i64,
    pub at: DateTime<Utc>,
    pub email: String,
    pub action: String,
    pub subject: String,
    pub detail: String,
}

/// What is about to be written down of an administrator.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry<'a> {
    pub user: Uuid,
    pub email: &'a str,
    pub action: &'a str,
    pub subject: &'a str,
    pub detail: &'a str,
}

/// A namespace's own quota.
pub async fn quota_read(pool: &PgPool, namespace: Namespace) -> Result<Quota, sqlx::Error> {
    let quota = sqlx::query_as!(
        Quota,
        "select active_tasks_max, payload_bytes_max, queues_max from tasks.namespaces where id = $1",
        namespace,
    );
    Ok(quota.fetch_optional(pool).await?.unwrap_or_default())
}

/// How many tasks of a namespace wait or run, and the bytes of their payloads.
pub async fn usage_read(pool: &PgPool, namespace: Namespace) -> Result<(i64, i64), sqlx::Error> {
    let usage = sqlx::query!(
        r#"
        select count(*) as "tasks!", coalesce(sum(payload_bytes), 0)::bigint as "payload_bytes!"
        from tasks.active
        where namespace = $1
        "#,
        namespace,
    )
    .fetch_one(pool)
    .await?;
    Ok((usage.tasks, usage.payload_bytes))
}

/// Sets a namespace's quota and writes it down. False: there is no such namespace.
pub async fn quota_set(
    pool: &PgPool,
    namespace: &str,
    quota: Quota,
    entry: &NewEntry<'_>,
) -> Result<bool, sqlx::Error> {
    let set = sqlx::query_scalar!(
        r#"
        with changed as (
            update tasks.namespaces
            set active_tasks_max = $2, payload_bytes_max = $3, queues_max = $4
            where name = $1 and deleting_since is null
            returning id
        )
        insert into tasks.audit (user_id, email, action, subject, detail)
        select $5, $6, $7, $8, $9 from changed
        returning number
        "#,
        namespace,
        quota.active_tasks_max,
        quota.payload_bytes_max,
        quota.queues_max,
        entry.user,
        entry.email,
        entry.action,
        entry.subject,
        entry.detail,
    );
    Ok(set.fetch_optional(pool).await?.is_some())
}

/// Lets a user in or not any more, which ends their sign-ins and keys, and writes it down. Returns the new revision of
/// identities; none: the one who does it is no administrator any more.
pub async fn user_set_disabled(
    pool: &PgPool,
    user: Uuid,
    disabled: bool,
    entry: &NewEntry<'_>,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with both_users as materialized (
            -- Two who shut each other out do so one after the other, so one of them stays.
            select id, is_admin and not is_disabled as may from tasks.users
            where id in ($1, $3)
            order by id
            for no key update
        ),
        changed as (
            update tasks.users u set is_disabled = $2
            from both_users doer
            where u.id = $1 and doer.id = $3 and doer.may
            returning u.id, u.namespace
        ),
        ended as (
            update tasks.sign_ins s set ended_at = now() from changed u
            where s.user_id = u.id and $2 and s.ended_at is null
        ),
        revoked as (
            update tasks.keys k set revoked_at = now() from changed u
            where $2 and k.revoked_at is null and (k.created_by = u.id or k.namespace = u.namespace)
        ),
        noted as (
            insert into tasks.audit (user_id, email, action, subject, detail)
            select $3, $4, $5, $6, $7 from changed
        )
        update tasks.identity_revision set revision = revision + 1 where exists (select from changed)
        returning revision
        "#,
        user,
        disabled,
        entry.user,
        entry.email,
        entry.action,
        entry.subject,
        entry.detail,
    )
    .fetch_optional(pool)
    .await
}

/// Makes a user an administrator of the installation, or none, and writes it down. Returns the new revision of
/// identities; none: the one who does it is no administrator any more.
pub async fn user_set_admin(
    pool: &PgPool,
    user: Uuid,
    is_admin: bool,
    entry: &NewEntry<'_>,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with both_users as materialized (
            -- Two who unmake each other do so one after the other, so one of them stays.
            select id, is_admin and not is_disabled as may from tasks.users
            where id in ($1, $3)
            order by id
            for no key update
        ),
        changed as (
            update tasks.users u set is_admin = $2
            from both_users doer
            where u.id = $1 and doer.id = $3 and doer.may
            returning u.id
        ),
        noted as (
            insert into tasks.audit (user_id, email, action, subject, detail)
            select $3, $4, $5, $6, $7 from changed
        )
        update tasks.identity_revision set revision = revision + 1 where exists (select from changed)
        returning revision
        "#,
        user,
        is_admin,
        entry.user,
        entry.email,
        entry.action,
        entry.subject,
        entry.detail,
    )
    .fetch_optional(pool)
    .await
}

/// Writes down what an administrator did.
pub async fn audit_add(pool: &PgPool, entry: &NewEntry<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into tasks.audit (user_id, email, action, subject, detail) values ($1, $2, $3, $4, $5)",
        entry.user,
        entry.email,
        entry.action,
        entry.subject,
        entry.detail,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// What administrators did, newest first, before one.
pub async fn audit_list(pool: &PgPool, before: Option<i64>, rows_max: i64) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as!(
        Entry,
        r#"
        select number, at, email, action, subject, detail
        from tasks.audit
        where $1::bigint is null or number < $1
        order by number desc
        limit $2
        "#,
        before,
        rows_max,
    )
    .fetch_all(pool)
    .await
}

/// All namespaces, by name, after one; or the one of a name. Tasks are counted up to so many.
pub async fn namespace_list_all(
    pool: &PgPool,
    after: &str,
    one: Option<&str>,
    count_max: i64,
    rows_max: i64,
) -> Result<Vec<Overview>, sqlx::Error> {
    sqlx::query_as!(
        Overview,
        r#"
        select
            n.name,
            n.is_personal,
            u.email as "owner?",
            (select count(*) from tasks.members m where m.namespace = n.id) as "members!",
            (select count(*) from tasks.queues q where q.namespace = n.id) as "queues!",
            (
                select count(*) from (select from tasks.active a where a.namespace = n.id limit $2) counted
            ) as "active_tasks!",
            n.created_at,
            n.deleting_since,
            n.active_tasks_max,
            n.payload_bytes_max,
            n.queues_max
        from tasks.namespaces n
        left join tasks.users u on u.id = n.owner
        where n.name > $1 and ($4::text is null or n.name = $4)
        order by n.name
        limit $3
        "#,
        after,
        count_max,
        rows_max,
        one,
    )
    .fetch_all(pool)
    .await
}

/// All users, by address, after one; or the one of an address.
pub async fn user_list(
    pool: &PgPool,
    after: &str,
    one: Option<&str>,
    rows_max: i64,
) -> Result<Vec<UserOverview>, sqlx::Error> {
    sqlx::query_as!(
        UserOverview,
        r#"
        select
            id, email, name, is_admin, is_disabled, created_at,
            (select max(refreshed_at) from tasks.sign_ins s where s.user_id = u.id) as last_seen_at
        from tasks.users u
        where email > $1 and ($3::text is null or email = $3)
        order by email
        limit $2
        "#,
        after,
        rows_max,
        one,
    )
    .fetch_all(pool)
    .await
}
