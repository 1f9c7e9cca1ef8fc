//! Users and their sign-ins.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::{identity::Role, task::Namespace};
use uuid::Uuid;

/// How long a sign-in lives after its last refresh, in days.
const SIGN_IN_LIFE_DAYS: i32 = 30;
/// A refresh token may come again so many seconds after it was replaced: the answer was lost.
const REFRESH_AGAIN_S: f64 = 30.0;

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    pub id: Uuid,
    pub email: String,
    pub name: String,
    pub password_hash: Option<String>,
    pub is_admin: bool,
    pub is_disabled: bool,
    /// The user's own.
    pub namespace: Namespace,
    pub created_at: DateTime<Utc>,
}

/// A user to be made.
#[derive(Clone, Debug)]
pub struct NewUser<'a> {
    pub id: Uuid,
    pub email: &'a str,
    pub name: &'a str,
    pub password_hash: Option<&'a str>,
    pub is_admin: bool,
    /// Somebody else says that the address is theirs.
    pub is_email_proven: bool,
    pub namespace_name: &'a str,
}

/// Why a user cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Email,
    Namespace,
}

/// Makes a user with a namespace.
pub async fn user_create(pool: &PgPool, new: &NewUser<'_>) -> Result<Result<User, Taken>, sqlx::Error> {
    let created = sqlx::query_as!(
        User,
        r#"
        with namespace as (
            insert into tasks.namespaces (name, owner, is_personal) values ($6, $1, true) returning id
        ),
        member as (
            insert into tasks.members (namespace, user_id, role) select id, $1, $7 from namespace
        )
        insert into tasks.users (id, email, name, password_hash, is_admin, is_email_proven, namespace)
        select $1, $2, $3, $4, $5, $8, id from namespace
        returning id, email, name, password_hash, is_admin, is_disabled, namespace, created_at
        "#,
        new.id,
        new.email,
        new.name,
        new.password_hash,
        new.is_admin,
        new.namespace_name,
        Role::Admin.number(),
        new.is_email_proven,
    )
    .fetch_one(pool)
    .await;
    match created {
        Ok(user) => Ok(Ok(user)),
        Err(sqlx::Error::Database(error)) if error.constraint() == Some("users_email_key") => Ok(Err(Taken::Email)),
        Err(sqlx::Error::Database(error)) if error.constraint() == Some("namespaces_name_key") => {
            Ok(Err(Taken::Namespace))
        }
        Err(error) => Err(error),
    }
}

/// Notes that an address is proven. If it was not, whoever registered it without being asked is shut out: the password
/// goes, sign-ins end, keys are revoked. Returns the revision after that; none if it was proven.
pub async fn user_prove_email(pool: &PgPool, id: Uuid) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with proven as (
            update tasks.users set is_email_proven = true, password_hash = null
            where id = $1 and not is_email_proven
            returning id
        ),
        ended as (
            update tasks.sign_ins s set ended_at = now() from proven where s.user_id = $1 and s.ended_at is null
        ),
        revoked as (
            update tasks.keys k set revoked_at = now() from proven where k.created_by = $1 and k.revoked_at is null
        )
        update tasks.identity_revision set revision = revision + 1 where exists (select from proven)
        returning revision
        "#,
        id,
    )
    .fetch_optional(pool)
    .await
}

/// Whose a refresh token is, if it is good.
pub async fn sign_in_user(pool: &PgPool, hash: &[u8]) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select s.user_id
        from tasks.refresh_tokens t
        join tasks.sign_ins s on s.id = t.sign_in
        where t.secret_hash = $1 and s.ended_at is null and s.expires_at > now()
        "#,
        hash,
    )
    .fetch_optional(pool)
    .await
}

/// Whether there is any.
pub async fn user_exists(pool: &PgPool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select exists (select from tasks.users) as "exists!""#).fetch_one(pool).await
}

/// The user with this address.
pub async fn user_read_by_email(pool: &PgPool, email: &str) -> Result<Option<User>, sqlx::Error> {
    sqlx::query_as!(
        User,
        r#"
        select id, email, name, password_hash, is_admin, is_disabled, namespace, created_at
        from tasks.users
        where email = $1
        "#,
        email,
    )
    .fetch_optional(pool)
    .await
}

/// A user.
pub async fn user_read(pool: &PgPool, id: Uuid) -> Result<Option<User>, sqlx::Error> {
    sqlx::query_as!(
        User,
        r#"
        select id, email, name, password_hash, is_admin, is_disabled, namespace, created_at
        from tasks.users
        where id = $1
        "#,
        id,
    )
    .fetch_optional(pool)
    .await
}

/// Gives a user another name.
pub async fn user_set_name(pool: &PgPool, id: Uuid, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("update tasks.users set name = $2 where id = $1", id, name).execute(pool).await?;
    Ok(())
}

/// Gives a user another password and ends all sign-ins but one. Returns the revision.
pub async fn user_set_password(
    pool: &PgPool,
    id: Uuid,
    password_hash: &str,
    but: Option<Uuid>,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with changed as (
            update tasks.users set password_hash = $2 where id = $1
        ),
        ended as (
            update tasks.sign_ins set ended_at = now()
            where user_id = $1 and ended_at is null and id is distinct from $3
        )
        update tasks.identity_revision set revision = revision + 1 returning revision
        "#,
        id,
        password_hash,
        but,
    )
    .fetch_one(pool)
    .await
}

/// Begins a sign-in.
pub async fn sign_in_create(
    pool: &PgPool,
    id: Uuid,
    user: Uuid,
    refresh_hash: &[u8],
    agent: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        with sign_in as (
            insert into tasks.sign_ins (id, user_id, expires_at, agent)
            values ($1, $2, now() + $5 * interval '1 day', $4)
        )
        insert into tasks.refresh_tokens (secret_hash, sign_in) values ($3, $1)
        "#,
        id,
        user,
        refresh_hash,
        agent,
        f64::from(SIGN_IN_LIFE_DAYS),
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// What a refresh token came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// The next one is in its place.
    Next { sign_in: Uuid, user: Uuid },
    /// It was used before: the sign-in has ended, at this revision.
    Reused { sign_in: Uuid, revision: i64 },
    /// It is none, or its sign-in has ended.
    Unknown,
}

/// Puts the next refresh token in the place of one.
pub async fn sign_in_refresh(pool: &PgPool, hash: &[u8], next_hash: &[u8]) -> Result<Refreshed, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        with found as materialized (
            select s.id, s.user_id, t.replaced_at < now() - $3 * interval '1 second' is true as is_reused
            from tasks.refresh_tokens t
            join tasks.sign_ins s on s.id = t.sign_in
            where t.secret_hash = $1 and s.ended_at is null and s.expires_at > now()
            for no key update of s
        ),
        ended as (
            update tasks.sign_ins s set ended_at = now()
            from found where s.id = found.id and found.is_reused
            returning s.id
        ),
        revised as (
            update tasks.identity_revision set revision = revision + 1
            where exists (select from ended)
            returning revision
        ),
        extended as (
            update tasks.sign_ins s set refreshed_at = now(), expires_at = now() + $4 * interval '1 day'
            from found where s.id = found.id and not found.is_reused
            returning s.id
        ),
        replaced as (
            update tasks.refresh_tokens t set replaced_at = now()
            from extended where t.sign_in = extended.id and t.replaced_at is null
        ),
        next as (
            insert into tasks.refresh_tokens (secret_hash, sign_in) select $2, id from extended
        )
        select id, user_id, is_reused as "is_reused!", (select revision from revised) as revision from found
        "#,
        hash,
        next_hash,
        REFRESH_AGAIN_S,
        f64::from(SIGN_IN_LIFE_DAYS),
    )
    .fetch_optional(pool)
    .await?;
    Ok(match row {
        None => Refreshed::Unknown,
        Some(row) if row.is_reused => Refreshed::Reused { sign_in: row.id, revision: row.revision.unwrap_or_default() },
        Some(row) => Refreshed::Next { sign_in: row.id, user: row.user_id },
    })
}

/// Ends a user's sign-in, or all of them. Returns how many, and the revision.
pub async fn sign_in_end(pool: &PgPool, user: Uuid, one: Option<Uuid>) -> Result<(i64, i64), sqlx::Error> {
    let row = sqlx::query!(
        r#"
        with ended as (
            update tasks.sign_ins set ended_at = now()
            where user_id = $1 and ended_at is null and ($2::uuid is null or id = $2)
            returning id
        )
        update tasks.identity_revision set revision = revision + 1
        returning revision, (select count(*) from ended) as "ended!"
        "#,
        user,
        one,
    )
    .fetch_one(pool)
    .await?;
    Ok((row.ended, row.revision))
}

/// A sign-in.
#[derive(Clone, Debug)]
pub struct SignIn {
    pub id: Uuid,
    pub agent: String,
    pub created_at: DateTime<Utc>,
    pub refreshed_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// A user's sign-ins that have not ended, newest first.
pub async fn sign_in_list(pool: &PgPool, user: Uuid, rows_max: i64) -> Result<Vec<SignIn>, sqlx::Error> {
    sqlx::query_as!(
        SignIn,
        r#"
        select id, agent, created_at, refreshed_at, expires_at
        from tasks.sign_ins
        where user_id = $1 and ended_at is null and expires_at > now()
        order by id desc
        limit $2
        "#,
        user,
        rows_max,
    )
    .fetch_all(pool)
    .await
}

/// Forgets refresh tokens, some at a time, that were replaced so long ago that whoever still has one would find it
/// expired in any case: that it comes again tells nothing any more. Returns how many.
pub async fn refresh_token_forget_old(pool: &PgPool, rows_max: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        with old as materialized (
            select secret_hash from tasks.refresh_tokens
            where replaced_at < now() - $1 * interval '1 day'
            order by replaced_at
            limit $2
        )
        delete from tasks.refresh_tokens t using old where t.secret_hash = old.secret_hash
        "#,
        f64::from(SIGN_IN_LIFE_DAYS),
        rows_max,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// Forgets sign-ins that are over, and refresh tokens of which nobody can know any more.
pub async fn sign_in_forget_old(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        with old as materialized (
            select id from tasks.sign_ins where expires_at < now() - interval '1 day' order by expires_at limit 1000
        ),
        tokens as (
            delete from tasks.refresh_tokens t using old where t.sign_in = old.id
        )
        delete from tasks.sign_ins s using old where s.id = old.id
        "#,
    )
    .execute(pool)
    .await?;
    Ok(())
}
