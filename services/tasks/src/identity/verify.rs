//! The one place where callers are verified.

use chrono::DateTime;
use futures::future::BoxFuture;
use sqlx::PgPool;
use subtle::ConstantTimeEq;
use taskyard_core::{
    Error, ErrorCode, Identity, Result,
    identity::{Caller, EVERY_NAMESPACE, Scopes, Service},
};
use taskyard_postgres::failure;
use taskyard_runtime::{config::Secret, identity::Ask};

use super::{KeyUses, Kind, Signer};
use crate::store::identity;

/// Verifies tokens and keys by the database.
#[derive(Clone, Debug)]
pub struct Verifier {
    pub pool: PgPool,
    pub signer: Signer,
    /// The keys of our own services.
    pub services: Vec<(Service, Secret)>,
    pub uses: KeyUses,
}

impl Ask for Verifier {
    fn identify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Identity>> {
        Box::pin(async move {
            if token.starts_with(Kind::Service.prefix()) {
                return self.service(token);
            }
            if let Some(hash) = Kind::Key.hash(token) {
                let found = identity::identity_of_key(&self.pool, &hash).await.map_err(failure::to_error)?;
                return found.ok_or_else(|| refused("there is no such key, or it has expired or was revoked"));
            }
            let claims = self.signer.read(token).await?;
            let expires_at = DateTime::from_timestamp(claims.exp, 0).unwrap_or_default();
            let found = identity::identity_of_sign_in(&self.pool, claims.sid, claims.ns, claims.looks, expires_at);
            let found = found.await;
            found.map_err(failure::to_error)?.ok_or_else(|| {
                refused("the sign-in has ended, or its user is no member of this namespace any more; sign in again")
            })
        })
    }

    fn revision(&self) -> BoxFuture<'_, Result<i64>> {
        Box::pin(async move { identity::revision_read(&self.pool).await.map_err(failure::to_error) })
    }

    fn used(&self, identity: &Identity) {
        self.uses.note(identity);
    }
}

impl Verifier {
    fn service(&self, token: &str) -> Result<Identity> {
        // All are compared, and in constant time, so that nobody guesses one byte by byte.
        let mut found = None;
        for (service, key) in &self.services {
            if bool::from(key.expose().as_bytes().ct_eq(token.as_bytes())) {
                found = Some(*service);
            }
        }
        let service = found.ok_or_else(|| refused("there is no such service key"))?;
        Ok(Identity {
            caller: Caller::Service(service),
            name: format!("{service:?}").to_lowercase(),
            namespace: EVERY_NAMESPACE,
            namespace_name: String::new(),
            scopes: Scopes::default(),
            queues: Vec::new(),
            expires_at: None,
        })
    }
}

fn refused(message: &str) -> Error {
    Error::new(ErrorCode::Unauthenticated, message)
}
