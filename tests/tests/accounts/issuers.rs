//! Whom another issuer vouches for: a real HTTP server with keys of its own.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};
use taskyard_core::ErrorCode;
use taskyard_proto::v1;
use taskyard_testkit::eventually;
use taskyard_tests::{Answer, SOON, read};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    people::code,
    setup::{Accounts, PASSWORD},
};

const CLIENT: &str = "taskyard";

/// An issuer that answers on a port of its own, with the keys that it has at the moment.
struct Issuer {
    address: SocketAddr,
    keys: Arc<Mutex<Vec<(String, EcdsaKeyPair)>>>,
    /// It takes 4 s to answer.
    is_slow: Arc<AtomicBool>,
    server: tokio::task::JoinHandle<()>,
}

fn make_key() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap()
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

impl Issuer {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let keys = Arc::new(Mutex::new(vec![("first".to_owned(), make_key())]));
        let known = keys.clone();
        let is_slow = Arc::new(AtomicBool::new(false));
        let slow = is_slow.clone();
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4_096];
                let length = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let answer = if request.starts_with("GET /.well-known/openid-configuration ") {
                    json!({ "issuer": format!("http://{address}"), "jwks_uri": format!("http://{address}/keys") })
                } else {
                    json!({ "keys": public(&known.lock().unwrap()) })
                };
                if slow.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_secs(4)).await;
                }
                let body = answer.to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all((head + &body).as_bytes()).await;
            }
        });
        Ok(Self { address, keys, is_slow, server })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it says of somebody, with some of it changed.
    fn claims(&self, change: &Value) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": self.url(), "aud": CLIENT, "sub": "42", "exp": now + 300, "iat": now,
            "email": "Ada@Example.com", "email_verified": true, "name": "Ada",
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    fn token(&self, change: &Value) -> String {
        let keys = self.keys.lock().unwrap();
        let (kid, key) = keys.last().unwrap();
        let signed = format!("{}.{}", part(&json!({ "alg": "ES256", "kid": kid })), part(&self.claims(change)));
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// With one of a kind that nobody knows, which must not matter.
fn public(keys: &[(String, EcdsaKeyPair)]) -> Vec<Value> {
    let mut set = vec![json!({ "kty": "new", "kid": "unknown" })];
    for (kid, key) in keys {
        let point = key.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        set.push(json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": x, "y": y }));
    }
    set
}

async fn sign_in(accounts: &Accounts, id_token: &str) -> Answer<v1::SignInResponse> {
    let request = v1::SignInRequest { id_token: id_token.into(), ..v1::SignInRequest::default() };
    read(accounts.users().sign_in(request).await)
}

#[tokio::test]
async fn a_trusted_issuer_lets_its_users_in() -> Result<()> {
    let issuer = Issuer::start().await?;
    let accounts = Accounts::with(&[("--oidc-issuer", &format!("{}={CLIENT}", issuer.url()))]).await?;
    let first = sign_in(&accounts, &issuer.token(&json!({}))).await?;
    let user = first.user.unwrap_or_default();
    assert_eq!((user.email.as_str(), user.name.as_str()), ("ada@example.com", "Ada"));
    let access = first.tokens.unwrap_or_default().access_token;
    assert_eq!(accounts.who_am_i(&access).await?.namespace, "ada");
    let again = sign_in(&accounts, &issuer.token(&json!({ "email_verified": "true" }))).await?;
    assert_eq!(again.user.unwrap_or_default().id, user.id, "the same user");
    // There is no password, so none is right.
    assert_eq!(code(accounts.sign_in("ada@example.com", "", "").await), ErrorCode::Unauthenticated);
    let both = v1::SignInRequest { email: "a@b.example".into(), id_token: "x".into(), ..Default::default() };
    assert_eq!(code(read(accounts.users().sign_in(both).await)), ErrorCode::InvalidInput);

    // The issuer changes its keys: the new one is asked for, as soon as some time has passed. Meanwhile the old one is good.
    let old = issuer.token(&json!({}));
    *issuer.keys.lock().unwrap() = vec![("second".to_owned(), make_key())];
    tokio::time::sleep(Duration::from_secs(10)).await;
    issuer.is_slow.store(true, Ordering::Relaxed);
    let new = tokio::spawn({
        let (mut users, id_token) = (accounts.users(), issuer.token(&json!({})));
        async move { users.sign_in(v1::SignInRequest { id_token, ..v1::SignInRequest::default() }).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    assert!(sign_in(&accounts, &old).await.is_ok());
    assert!(began.elapsed() < Duration::from_secs(2) && !new.is_finished(), "nobody waits for the issuer's answer");
    assert!(new.await?.is_ok());
    assert_eq!(
        code(sign_in(&accounts, &old).await),
        ErrorCode::Unauthenticated,
        "the issuer does not name it any more"
    );
    accounts.close().await
}

/// Whoever registered an address that is not theirs has nothing of the account once its owner comes.
#[tokio::test]
async fn an_address_belongs_to_whom_the_issuer_says() -> Result<()> {
    let issuer = Issuer::start().await?;
    let accounts = Accounts::with(&[("--oidc-issuer", &format!("{}={CLIENT}", issuer.url()))]).await?;
    let mallory = accounts.register("ada@example.com").await?;
    let (_, key) = accounts.key(&mallory.access, &["tasks:read"], &[]).await?;
    let ada = sign_in(&accounts, &issuer.token(&json!({}))).await?.tokens.unwrap_or_default();
    for token in [&mallory.access, &key] {
        eventually(SOON, "it has ended", async || accounts.who_am_i(token).await.err().map(drop)).await?;
    }
    assert_eq!(code(accounts.refresh(&mallory.refresh, "").await), ErrorCode::Unauthenticated);
    assert_eq!(code(accounts.sign_in("ada@example.com", PASSWORD, "").await), ErrorCode::Unauthenticated);
    // Once is enough.
    sign_in(&accounts, &issuer.token(&json!({}))).await?;
    assert_eq!(accounts.who_am_i(&ada.access_token).await?.name, "ada@example.com");
    accounts.close().await
}

#[tokio::test]
async fn nobody_else_is_let_in() -> Result<()> {
    let (issuer, stranger) = (Issuer::start().await?, Issuer::start().await?);
    let accounts = Accounts::with(&[("--oidc-issuer", &format!("{}={CLIENT}", issuer.url()))]).await?;
    let none = part(&json!({ "alg": "none" })) + "." + &part(&issuer.claims(&json!({}))) + ".";
    let hmac = part(&json!({ "alg": "HS256", "kid": "first" })) + "." + &part(&issuer.claims(&json!({}))) + ".AAAA";
    let good = issuer.token(&json!({}));
    let (signed, _) = good.rsplit_once('.').unwrap();
    let other_signature = stranger.token(&json!({}));
    let forged = format!("{signed}.{}", other_signature.rsplit_once('.').unwrap().1);
    let long_ago = json!({ "exp": 1_000_000_000 });
    for (why, token) in [
        ("not a token", "x.y.z".to_owned()),
        ("unsigned", none),
        ("signed with what is public", hmac),
        ("signed by another", forged),
        ("of an issuer that is not trusted", stranger.token(&json!({}))),
        ("of one that says it is the trusted one", stranger.token(&json!({ "iss": issuer.url() }))),
        ("for another client", issuer.token(&json!({ "aud": "another" }))),
        ("for several, by nobody's wish", issuer.token(&json!({ "aud": [CLIENT, "another"] }))),
        ("made for another of several", issuer.token(&json!({ "aud": [CLIENT, "another"], "azp": "another" }))),
        ("expired", issuer.token(&long_ago)),
        ("not valid yet", issuer.token(&json!({ "nbf": 9_000_000_000_u64 }))),
        ("without an address", issuer.token(&json!({ "email": null }))),
        ("with an address that nobody verified", issuer.token(&json!({ "email_verified": false }))),
        ("our own access token", accounts.register("eve@example.com").await?.access),
    ] {
        assert_eq!(code(sign_in(&accounts, &token).await), ErrorCode::Unauthenticated, "{why}");
    }
    assert!(sign_in(&accounts, &good).await.is_ok());
    let made_for_us = json!({ "aud": ["another", CLIENT], "azp": CLIENT });
    assert!(sign_in(&accounts, &issuer.token(&made_for_us)).await.is_ok());
    accounts.close().await?;

    let nobody = Accounts::open().await?;
    assert_eq!(code(sign_in(&nobody, &good).await), ErrorCode::Forbidden, "none is trusted");
    nobody.close().await
}
