//! The keys that sign access tokens.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

/// How long a key signs, in days.
const LIFE_DAYS: f64 = 30.0;
/// How long before the newest one ends the next is there, in days.
const AHEAD_DAYS: f64 = 2.0;

/// A key pair.
#[derive(Clone)]
pub struct SigningKey {
    pub id: Uuid,
    pub pkcs8: Vec<u8>,
    pub signs_from: DateTime<Utc>,
    pub signs_until: DateTime<Utc>,
}

/// Adds a key, to sign from the end of the newest one on, unless that is far.
pub async fn signing_key_ensure(pool: &PgPool, id: Uuid, pkcs8: &[u8]) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        insert into tasks.signing_keys (id, pkcs8, signs_from, signs_until)
        select $1, $2, newest.ends, newest.ends + $3 * interval '1 day'
        from (select greatest(max(signs_until), now()) as ends from tasks.signing_keys) newest
        where newest.ends < now() + $4 * interval '1 day'
        "#,
        id,
        pkcs8,
        LIFE_DAYS,
        AHEAD_DAYS,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// All keys that sign, will sign, or signed what may still be valid, oldest first.
pub async fn signing_key_list(pool: &PgPool) -> Result<Vec<SigningKey>, sqlx::Error> {
    sqlx::query_as!(
        SigningKey,
        r#"
        select id, pkcs8, signs_from, signs_until
        from tasks.signing_keys
        where signs_until > now() - interval '1 hour'
        order by signs_from, id
        "#,
    )
    .fetch_all(pool)
    .await
}

/// Forgets keys of which no token is valid any more.
pub async fn signing_key_forget_old(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from tasks.signing_keys where signs_until < now() - interval '1 day'").execute(pool).await?;
    Ok(())
}
