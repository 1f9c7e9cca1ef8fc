//! Issuers of others, such as a company's own sign-in: whom they vouch for by an OpenID Connect id token is let in.
//!
//! Their keys are read when a token names one that is not known, and not more often than [`RELOAD_INTERVAL`]; tokens that
//! name a known one never wait for that. What was read replaces all that was known. A token is judged by the keys of the
//! issuer that it names, for the audience that is configured for that one, and only if its address was verified there.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{AlgorithmParameters, Jwk},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use taskyard_core::{Error, ErrorCode, Result};
use tokio::{sync::Mutex, time::Instant};

use super::crypto;

const TIMEOUT: Duration = Duration::from_secs(5);
/// A token that names an unknown key makes a pod ask, but not more often than this.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);
/// Keys that were read so long ago are read again, and meanwhile still used: the issuer may have taken some back.
const KEYS_FRESH: Duration = Duration::from_secs(3_600);
/// Keys that were read so long ago are not used any more.
const KEYS_LIFE: Duration = Duration::from_secs(7_200);
/// What an issuer answers with.
const ANSWER_BYTES_MAX: usize = 256 * 1_024;
/// How far its clock may be from ours.
const LEEWAY_S: u64 = 60;
/// What a public key can verify. No secret ones: whoever knows the public key could sign.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// An issuer that is trusted, and what its tokens must be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// Its URL, as its tokens write it.
    pub url: String,
    /// The client id that it knows us by.
    pub audience: String,
}

impl FromStr for TrustedIssuer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            || format!("`{text}` must be an issuer's URL and our client id there: https://login.example.com=taskyard");
        let (url, audience) = text.trim().rsplit_once('=').ok_or_else(wrong)?;
        if !is_safe(url) || audience.is_empty() {
            return Err(wrong());
        }
        Ok(Self { url: url.to_owned(), audience: audience.to_owned() })
    }
}

/// Plain HTTP would let anybody in between vouch for anybody; on this machine there is nobody.
fn is_safe(url: &str) -> bool {
    url.parse::<reqwest::Url>().is_ok_and(|url| {
        let is_local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        url.scheme() == "https" || url.scheme() == "http" && is_local
    })
}

/// All issuers that are trusted. Cheap to clone.
#[derive(Clone)]
pub struct Issuers(Arc<Vec<Arc<Issuer>>>);

struct Issuer {
    trusted: TrustedIssuer,
    http: reqwest::Client,
    keys: RwLock<Keys>,
    /// Held by the one who asks, who leaves there when that was and whether there was an answer.
    asked: Mutex<Option<(Instant, bool)>>,
}

#[derive(Default)]
struct Keys {
    list: Vec<(String, DecodingKey)>,
    read_at: Option<Instant>,
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|issuer| &issuer.trusted)).finish()
    }
}

/// Whom an issuer vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// The address, which the issuer has verified.
    pub email: String,
    /// Empty if it says none.
    pub name: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    // One, or a list.
    #[serde(default)]
    aud: Value,
    azp: Option<String>,
    email: Option<String>,
    // Some issuers write it as a text.
    #[serde(default)]
    email_verified: Value,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    // One of a kind that is not known here must not hide the others.
    keys: Vec<Value>,
}

impl Issuers {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// If the HTTP client cannot be built.
    pub fn new(trusted: &[TrustedIssuer]) -> anyhow::Result<Self> {
        let _ = crypto::PROVIDER.install_default();
        if trusted.is_empty() {
            return Ok(Self(Arc::default()));
        }
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(taskyard_runtime::tls::client_config()?)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("taskyard/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("the HTTP client cannot be built")?;
        let issuer = |trusted: &TrustedIssuer| {
            let (keys, asked) = (RwLock::default(), Mutex::default());
            Arc::new(Issuer { trusted: trusted.clone(), http: http.clone(), keys, asked })
        };
        Ok(Self(Arc::new(trusted.iter().map(issuer).collect())))
    }

    /// Whom an id token is about.
    ///
    /// # Errors
    /// If it is not of an issuer that is trusted here, is for somebody else, has expired, or its address is not verified.
    pub async fn verify(&self, token: &str) -> Result<Vouched> {
        if self.0.is_empty() {
            return Err(Error::new(ErrorCode::Forbidden, "no issuer of id tokens is trusted here"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| refused("the id token is not a signed JWT"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(refused("the id token is signed in a way that is not taken here"));
        }
        // Not believed yet: it only says whose keys have to be asked for.
        let named: Claims = jsonwebtoken::dangerous::insecure_decode_claims(token)
            .map_err(|_| refused("the id token says nothing that can be read"))?;
        let issuer = self.0.iter().find(|issuer| issuer.trusted.url == named.iss);
        let issuer = issuer.ok_or_else(|| refused("the id token's issuer is not trusted here"))?;
        let kid = header.kid.unwrap_or_default();
        let claims = issuer.read(token, header.alg, &kid).await?;
        let is_verified = claims.email_verified == Value::Bool(true) || claims.email_verified == "true";
        match claims.email {
            Some(email) if is_verified => Ok(Vouched { email, name: claims.name }),
            Some(_) => Err(refused("the id token's issuer has not verified the e-mail address")),
            None => Err(refused("the id token names no e-mail address; ask its issuer for the scope `email`")),
        }
    }
}

impl Issuer {
    async fn read(self: &Arc<Self>, token: &str, algorithm: Algorithm, kid: &str) -> Result<Claims> {
        let key = match self.key(kid).await? {
            Some(key) => key,
            None => return Err(refused("the id token is signed by a key that its issuer does not name")),
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_audience(&[&self.trusted.audience]);
        validation.set_issuer(&[&self.trusted.url]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let read = jsonwebtoken::decode::<Claims>(token, &key, &validation);
        let claims = read.map(|data| data.claims).map_err(|error| {
            use jsonwebtoken::errors::ErrorKind;
            refused(match error.kind() {
                ErrorKind::ExpiredSignature => "the id token has expired",
                ErrorKind::ImmatureSignature => "the id token is not valid yet",
                ErrorKind::InvalidAudience => "the id token is for another client",
                _ => "the id token is not valid",
            })
        })?;
        let is_for_several = claims.aud.as_array().is_some_and(|clients| clients.len() > 1);
        if is_for_several && claims.azp.as_deref() != Some(&self.trusted.audience) {
            return Err(refused("the id token is for several clients, and was made for another one of them"));
        }
        Ok(claims)
    }

    /// A key of the issuer; it is asked if that is not known, or for long.
    async fn key(self: &Arc<Self>, kid: &str) -> Result<Option<DecodingKey>> {
        let (known, age) = self.known(kid);
        if known.is_some() && age < KEYS_FRESH {
            return Ok(known);
        }
        let is_usable = known.is_some() && age < KEYS_LIFE;
        if is_usable && self.asked.try_lock().is_err() {
            return Ok(known);
        }
        // By itself: a caller who gives up takes no answer away from the others.
        let issuer = self.clone();
        let asking = tokio::spawn(async move { issuer.renew().await });
        if is_usable {
            return Ok(known);
        }
        let is_answered = asking.await.map_err(|error| Error::internal(error.to_string()))?;
        match self.known(kid) {
            (Some(key), age) if age < KEYS_LIFE => Ok(Some(key)),
            _ if is_answered => Ok(None),
            _ => Err(Error::unavailable("the id token's issuer cannot be asked for its keys; try again")),
        }
    }

    /// Reads the keys anew, unless somebody just has. Returns whether there was an answer.
    async fn renew(&self) -> bool {
        let mut asked = self.asked.lock().await;
        if let Some((at, is_answered)) = *asked
            && at.elapsed() < RELOAD_INTERVAL
        {
            return is_answered;
        }
        let answer = self.ask().await;
        let now = Instant::now();
        *asked = Some((now, answer.is_ok()));
        match answer {
            Ok(list) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Keys { list, read_at: Some(now) };
                true
            }
            Err(error) => {
                let reason = format!("{error:#}");
                tracing::warn!(issuer = self.trusted.url, reason, "the keys of an issuer could not be read");
                false
            }
        }
    }

    /// The key with this id, and how long ago the keys were read.
    fn known(&self, kid: &str) -> (Option<DecodingKey>, Duration) {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let age = keys.read_at.map_or(Duration::MAX, |at| at.elapsed());
        let key = match keys.list.as_slice() {
            // Who has one key need not name it.
            [(_, only)] if kid.is_empty() => Some(only),
            list => list.iter().find(|(id, _)| id == kid).map(|(_, key)| key),
        };
        (key.cloned(), age)
    }

    async fn ask(&self) -> anyhow::Result<Vec<(String, DecodingKey)>> {
        let url = format!("{}/.well-known/openid-configuration", self.trusted.url.trim_end_matches('/'));
        let discovery: Discovery = self.get(&url).await?;
        ensure!(discovery.issuer == self.trusted.url, "it calls itself {}", discovery.issuer);
        ensure!(is_safe(&discovery.jwks_uri), "its keys are not at an https URL: {}", discovery.jwks_uri);
        let set: KeySet = self.get(&discovery.jwks_uri).await?;
        let read = |key: Value| {
            let jwk: Jwk = serde_json::from_value(key).ok()?;
            // A secret one in a public set is a mistake, and whoever reads it could sign.
            let is_public = !matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
            let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| is_public)?;
            Some((jwk.common.key_id.unwrap_or_default(), key))
        };
        Ok(set.keys.into_iter().filter_map(read).collect())
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> anyhow::Result<T> {
        let mut response = self.http.get(url).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                bail!("{url} answers with more than {ANSWER_BYTES_MAX} bytes");
            }
        }
        serde_json::from_slice(&body).with_context(|| format!("{url} does not answer with what is expected"))
    }
}

fn refused(message: &str) -> Error {
    Error::new(ErrorCode::Unauthenticated, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_a_url_and_a_client_id() {
        let issuer: TrustedIssuer = "https://login.example.com/realms/a?b=c=taskyard".parse().unwrap();
        assert_eq!(
            (issuer.url.as_str(), issuer.audience.as_str()),
            ("https://login.example.com/realms/a?b=c", "taskyard")
        );
        assert!("http://127.0.0.1:9/x=taskyard".parse::<TrustedIssuer>().is_ok());
        for wrong in
            ["", "https://login.example.com", "https://login.example.com=", "http://login.example.com=x", "x=y"]
        {
            assert!(wrong.parse::<TrustedIssuer>().is_err(), "{wrong}");
        }
    }
}
