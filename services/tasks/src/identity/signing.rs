//! Access tokens: JSON Web Tokens, signed with Ed25519 by keys that follow each other.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use taskyard_core::{Error, ErrorCode, Result, task::Namespace};
use taskyard_postgres::failure;
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::crypto;
use crate::store::signing_keys;

/// How long an access token is valid.
pub const ACCESS_TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);
/// Whom our tokens are for.
const AUDIENCE: &str = "taskyard";
/// How often a pod looks whether the next key must be made.
const LOOK_INTERVAL: Duration = Duration::from_secs(3_600);
/// A token that names an unknown key makes a pod look into the database, but not more often than this.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// Signs access tokens and reads them. Cheap to clone.
#[derive(Clone)]
pub struct Signer(Arc<Shared>);

struct Shared {
    pool: PgPool,
    issuer: String,
    keys: RwLock<Vec<Key>>,
    reloaded_at: Mutex<Option<Instant>>,
}

struct Key {
    id: String,
    signs: std::ops::Range<DateTime<Utc>>,
    private: EncodingKey,
    public: DecodingKey,
    /// The public key as a key set shows it.
    x: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("issuer", &self.0.issuer).finish_non_exhaustive()
    }
}

/// What an access token says. Rights are not in it: they are looked up, so that they can be taken away.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    iat: i64,
    pub exp: i64,
    /// The user.
    pub sub: Uuid,
    /// The sign-in.
    pub sid: Uuid,
    /// The namespace.
    pub ns: Namespace,
    /// An administrator of the installation looks into it, which stands in the audit log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub looks: bool,
}

impl Signer {
    /// No key is loaded yet.
    pub fn new(pool: PgPool, issuer: String) -> Self {
        // Another service of this process may have done it, with the same one.
        let _ = crypto::PROVIDER.install_default();
        Self(Arc::new(Shared { pool, issuer, keys: RwLock::default(), reloaded_at: Mutex::default() }))
    }

    /// Makes the next key in time, until `stop`.
    pub async fn keep(self, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            let wait = match self.ensure().await {
                Ok(()) => LOOK_INTERVAL,
                Err(error) => {
                    tracing::warn!(%error, "the keys of access tokens could not be looked after");
                    Duration::from_secs(5)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    async fn ensure(&self) -> anyhow::Result<()> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| anyhow::anyhow!("the system has no randomness"))?;
        if signing_keys::signing_key_ensure(&self.0.pool, Uuid::now_v7(), pkcs8.as_ref()).await? {
            tracing::info!("a new key for access tokens was made");
        }
        signing_keys::signing_key_forget_old(&self.0.pool).await?;
        self.load().await?;
        Ok(())
    }

    async fn load(&self) -> Result<(), sqlx::Error> {
        let rows = signing_keys::signing_key_list(&self.0.pool).await?;
        let keys = rows.into_iter().filter_map(|row| {
            let pair = Ed25519KeyPair::from_pkcs8(&row.pkcs8).ok()?;
            let public = pair.public_key().as_ref();
            Some(Key {
                id: row.id.to_string(),
                signs: row.signs_from..row.signs_until,
                private: EncodingKey::from_ed_der(&row.pkcs8),
                public: DecodingKey::from_ed_der(public),
                x: URL_SAFE_NO_PAD.encode(public),
            })
        });
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.collect();
        Ok(())
    }

    /// Loads the keys, unless that was done just now.
    async fn reload(&self) -> Result<()> {
        let mut reloaded_at = self.0.reloaded_at.lock().await;
        if reloaded_at.is_some_and(|at| at.elapsed() < RELOAD_INTERVAL) {
            return Ok(());
        }
        self.load().await.map_err(failure::to_error)?;
        *reloaded_at = Some(Instant::now());
        Ok(())
    }

    /// A token for a sign-in and a namespace; `looks` says that an administrator of the installation looks into it.
    pub async fn sign(&self, user: Uuid, sign_in: Uuid, namespace: Namespace, looks: bool) -> Result<String> {
        if let Some(token) = self.try_sign(user, sign_in, namespace, looks)? {
            return Ok(token);
        }
        self.reload().await?;
        let token = self.try_sign(user, sign_in, namespace, looks)?;
        token.ok_or_else(|| Error::unavailable("the key of access tokens is not there yet"))
    }

    fn try_sign(&self, user: Uuid, sign_in: Uuid, namespace: Namespace, looks: bool) -> Result<Option<String>> {
        let now = Utc::now();
        let claims = Claims {
            iss: self.0.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            iat: now.timestamp(),
            exp: now.timestamp() + ACCESS_TOKEN_LIFE.as_secs().cast_signed(),
            sub: user,
            sid: sign_in,
            ns: namespace,
            looks,
        };
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        let Some(key) = keys.iter().rev().find(|key| key.signs.contains(&now)) else { return Ok(None) };
        let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::EdDSA) };
        let token = jsonwebtoken::encode(&header, &claims, &key.private);
        token.map(Some).map_err(|error| Error::internal(error.to_string()))
    }

    /// What a token says, if it is one of ours and still valid.
    pub async fn read(&self, token: &str) -> Result<Claims> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| refused("this is not a token or key of ours"))?;
        let kid = header.kid.ok_or_else(|| refused("the token does not say which key signed it"))?;
        let public = match self.public(&kid) {
            Some(public) => public,
            None => {
                self.reload().await?;
                self.public(&kid).ok_or_else(|| refused("the token is signed by an unknown key"))?
            }
        };
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = 0;
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&self.0.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let read = jsonwebtoken::decode::<Claims>(token, &public, &validation);
        read.map(|data| data.claims).map_err(|error| {
            use jsonwebtoken::errors::ErrorKind;
            refused(match error.kind() {
                ErrorKind::ExpiredSignature => "the token has expired; refresh it or sign in again",
                ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => "the token is for another installation",
                _ => "the token is not valid",
            })
        })
    }

    fn public(&self, kid: &str) -> Option<DecodingKey> {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().find(|key| key.id == kid).map(|key| key.public.clone())
    }

    /// The public keys, as RFC 7517 has them.
    pub async fn key_set(&self) -> Result<String> {
        self.reload().await?;
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<_> = keys
            .iter()
            .map(|key| json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key.id, "x": key.x }))
            .collect();
        Ok(json!({ "keys": keys }).to_string())
    }
}

fn refused(message: &str) -> Error {
    Error::new(ErrorCode::Unauthenticated, message)
}
