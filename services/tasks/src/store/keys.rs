//! Keys of programs and workers.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::{identity::Scopes, task::Namespace};
use uuid::Uuid;

/// A key, without its secret.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: Uuid,
    pub name: String,
    pub scopes: i16,
    pub queues: Vec<String>,
    pub creator: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey<'a> {
    pub id: Uuid,
    pub namespace: Namespace,
    pub name: &'a str,
    pub secret_hash: &'a [u8],
    pub scopes: Scopes,
    pub queues: &'a [String],
    pub created_by: Uuid,
    pub expires_at: Option<DateTime<Utc>>,
}

/// Makes a key. False: the namespace has as many as it may.
pub async fn key_create(pool: &PgPool, new: &NewKey<'_>, keys_max: i64) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        insert into tasks.keys (id, namespace, name, secret_hash, scopes, queues, created_by, expires_at)
        select $1, $2, $3, $4, $5, $6, $7, $8
        where (select count(*) from tasks.keys where namespace = $2 and revoked_at is null) < $9
        "#,
        new.id,
        new.namespace,
        new.name,
        new.secret_hash,
        new.scopes.bits(),
        new.queues,
        new.created_by,
        new.expires_at,
        keys_max,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes a key whose secret was chosen, unless it is there.
pub async fn key_ensure(
    pool: &PgPool,
    namespace: Namespace,
    name: &str,
    secret_hash: &[u8],
    scopes: Scopes,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        insert into tasks.keys (id, namespace, name, secret_hash, scopes, queues, created_by)
        values ($1, $2, $3, $4, $5, '{}', $6)
        on conflict do nothing
        "#,
        Uuid::now_v7(),
        namespace,
        name,
        secret_hash,
        scopes.bits(),
        Uuid::nil(),
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Keys of a namespace, newest first, before one; or a single one.
pub async fn key_list(
    pool: &PgPool,
    namespace: Namespace,
    before: Option<Uuid>,
    one: Option<Uuid>,
    rows_max: i64,
) -> Result<Vec<Key>, sqlx::Error> {
    sqlx::query_as!(
        Key,
        r#"
        select
            k.id, k.name, k.scopes, k.queues, coalesce(u.email, '') as "creator!", k.created_at, k.expires_at,
            k.last_used_at, k.revoked_at
        from tasks.keys k
        left join tasks.users u on u.id = k.created_by
        where k.namespace = $1 and ($2::uuid is null or k.id < $2) and ($3::uuid is null or k.id = $3)
        order by k.id desc
        limit $4
        "#,
        namespace,
        before,
        one,
        rows_max,
    )
    .fetch_all(pool)
    .await
}

/// Ends a key. Returns the revision; none if there is no such key.
pub async fn key_revoke(pool: &PgPool, namespace: Namespace, id: Uuid) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with revoked as (
            update tasks.keys set revoked_at = coalesce(revoked_at, now())
            where namespace = $1 and id = $2
            returning id
        )
        update tasks.identity_revision set revision = revision + 1
        where exists (select from revoked)
        returning revision
        "#,
        namespace,
        id,
    )
    .fetch_optional(pool)
    .await
}

/// Notes that keys were used.
pub async fn key_set_used_batch(pool: &PgPool, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!("update tasks.keys set last_used_at = now() where id = any ($1)", ids).execute(pool).await?;
    Ok(())
}

/// Forgets keys that ended 30 days ago; not those that were chosen by whoever set the installation up, which would be
/// made again.
pub async fn key_forget_old(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from tasks.keys where revoked_at < now() - interval '30 days' and created_by <> '00000000-0000-0000-0000-000000000000'").execute(pool).await?;
    Ok(())
}
