//! Who a token belongs to.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::{
    Identity,
    identity::{Caller, Role, Scopes},
    task::Namespace,
};
use uuid::Uuid;

/// The number that rises whenever anybody loses a right.
pub async fn revision_read(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("select revision from tasks.identity_revision").fetch_one(pool).await
}

/// The user of a sign-in, in a namespace that they are a member of. Administrators may look into every one, by a token
/// that was made for it: then it is in the audit log.
pub async fn identity_of_sign_in(
    pool: &PgPool,
    sign_in: Uuid,
    namespace: Namespace,
    looks: bool,
    expires_at: DateTime<Utc>,
) -> Result<Option<Identity>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select u.id, u.email, u.is_admin, m.role as "role?", n.name as namespace_name
        from tasks.sign_ins s
        join tasks.users u on u.id = s.user_id
        join tasks.namespaces n on n.id = $2
        left join tasks.members m on m.namespace = n.id and m.user_id = u.id
        where s.id = $1
            and s.ended_at is null
            and s.expires_at > now()
            and not u.is_disabled
            and (m.role is not null or (u.is_admin and $3))
            and n.deleting_since is null
        "#,
        sign_in,
        namespace,
        looks,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Identity {
        caller: Caller::User { id: row.id, sign_in, is_site_admin: row.is_admin },
        name: row.email,
        namespace,
        namespace_name: row.namespace_name,
        scopes: row.role.map_or(Some(Role::Viewer), Role::from_number).map(Role::scopes).unwrap_or_default(),
        queues: Vec::new(),
        expires_at: Some(expires_at),
    }))
}

/// The key with this secret.
pub async fn identity_of_key(pool: &PgPool, secret_hash: &[u8]) -> Result<Option<Identity>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select k.id, k.name, k.namespace, k.scopes, k.queues, k.expires_at, n.name as namespace_name
        from tasks.keys k
        join tasks.namespaces n on n.id = k.namespace
        where k.secret_hash = $1
            and k.revoked_at is null
            and (k.expires_at is null or k.expires_at > now())
            and n.deleting_since is null
        "#,
        secret_hash,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Identity {
        caller: Caller::Key { id: row.id },
        name: row.name,
        namespace: row.namespace,
        namespace_name: row.namespace_name,
        scopes: Scopes::from_bits(row.scopes),
        queues: row.queues,
        expires_at: row.expires_at,
    }))
}
