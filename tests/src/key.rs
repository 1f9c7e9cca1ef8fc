//! What every test shows: a key with all rights in the namespace `default`, the same in every database.

use anyhow::Result;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use taskyard_client::Token;
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

/// The key.
pub const KEY: &str = "tyk_of-all-tests-0000000000000000000000000000000";
/// The key of workers of every namespace.
pub const WORKER_KEY: &str = "tys_of-all-tests-0000000000000000000000000000000";

/// A connection whose calls show the key.
pub type Calls = InterceptedService<Channel, Shown>;

/// Shows a key on every call.
#[derive(Clone, Copy, Debug)]
pub struct Shown(pub &'static str);

impl Interceptor for Shown {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        let value = MetadataValue::try_from(format!("Bearer {}", self.0)).map_err(|_| Status::internal("the key"))?;
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// The key for clients of ours.
pub fn token() -> Token {
    Token::bearer(KEY).unwrap_or_default()
}

/// Makes it known.
pub(crate) async fn add_key(pool: &PgPool) -> Result<()> {
    sqlx::query(
        "insert into tasks.keys (id, namespace, name, secret_hash, scopes, queues, created_by) \
         values (gen_random_uuid(), 1, 'tests', $1, 15, '{}', gen_random_uuid()) on conflict do nothing",
    )
    .bind(Sha256::digest(KEY.as_bytes()).as_slice())
    .execute(pool)
    .await?;
    Ok(())
}
