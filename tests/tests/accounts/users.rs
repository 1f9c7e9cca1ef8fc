//! A user's life: register, sign in, refresh, sign out.

use std::time::{Duration, Instant};

use anyhow::Result;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use taskyard_core::ErrorCode;
use taskyard_proto::v1;
use taskyard_testkit::eventually;
use taskyard_tests::read;

use crate::{
    people::code,
    setup::{Accounts, PASSWORD, person, shown},
};

#[tokio::test]
async fn a_user_registers_signs_in_and_out() -> Result<()> {
    let accounts = Accounts::open().await?;
    let ada = accounts.register(" Ada@Example.com ").await?;
    assert_eq!(ada.namespace, "ada");
    let me = accounts.who_am_i(&ada.access).await?;
    assert_eq!((me.name.as_str(), me.namespace.as_str()), ("ada@example.com", "ada"));
    assert_eq!(me.scopes, ["tasks:read", "tasks:write", "work", "admin"]);
    // The address is taken, however it is written; the namespace's name is varied.
    let again = v1::RegisterRequest {
        email: "ADA@example.com".into(),
        password: PASSWORD.into(),
        ..v1::RegisterRequest::default()
    };
    assert_eq!(code(read(accounts.users().register(again).await)), ErrorCode::NameTaken);
    let other = accounts.register("ada@other.example").await?;
    assert!(other.namespace.starts_with("ada-"), "{other:?}");

    for (email, password) in [("ada@example.com", "wrong password"), ("nobody@example.com", PASSWORD), ("", "")] {
        let refused = accounts.sign_in(email, password, "").await;
        assert_eq!(code(refused), ErrorCode::Unauthenticated, "{email}");
    }
    assert_eq!(
        code(accounts.sign_in("ada@example.com", PASSWORD, &other.namespace).await),
        ErrorCode::NamespaceNotFound
    );
    let second = accounts.sign_in("ada@example.com", PASSWORD, "").await?;
    let second = person(second.user, second.tokens)?;
    let listed = read(accounts.users().list_sign_ins(shown(&second.access, v1::ListSignInsRequest {})).await)?;
    let present: Vec<bool> = listed.sign_ins.iter().map(|sign_in| sign_in.is_present).collect();
    assert_eq!(present, [true, false]);
    assert_eq!(listed.sign_ins[0].agent, "a test");

    // Signed out, its token ends at once; the other one goes on.
    read(accounts.users().sign_out(shown(&second.access, v1::SignOutRequest::default())).await)?;
    assert_eq!(code(accounts.who_am_i(&second.access).await), ErrorCode::Unauthenticated);
    assert_eq!(code(accounts.refresh(&second.refresh, "").await), ErrorCode::Unauthenticated);
    assert!(accounts.who_am_i(&ada.access).await.is_ok());
    // One of theirs is ended by its id; another's is not touched.
    let id = accounts.who_am_i(&ada.access).await?.sign_in_id;
    read(accounts.users().sign_out(shown(&other.access, v1::SignOutRequest { id: id.clone() })).await)?;
    assert!(accounts.who_am_i(&ada.access).await.is_ok());
    let third = accounts.sign_in("ada@example.com", PASSWORD, "").await?.tokens.unwrap_or_default();
    let ended =
        read(accounts.users().sign_out_everywhere(shown(&third.access_token, v1::SignOutEverywhereRequest {})).await)?;
    assert_eq!(ended.ended, 2);
    for token in [&ada.access, &third.access_token] {
        assert_eq!(code(accounts.who_am_i(token).await), ErrorCode::Unauthenticated);
    }
    assert!(accounts.who_am_i(&other.access).await.is_ok());
    accounts.close().await
}

#[tokio::test]
async fn a_refresh_token_that_comes_again_ends_the_sign_in() -> Result<()> {
    let accounts = Accounts::open().await?;
    let ada = accounts.register("ada@example.com").await?;
    let next = accounts.refresh(&ada.refresh, "").await?;
    assert_ne!(next.refresh_token, ada.refresh);
    assert!(accounts.who_am_i(&next.access_token).await.is_ok());
    // Soon after, an answer may have been lost: the old one gives another pair, and the pair before is replaced.
    let again = accounts.refresh(&ada.refresh, "").await?;
    assert!(accounts.who_am_i(&again.access_token).await.is_ok());
    sqlx::query(
        "update tasks.refresh_tokens set replaced_at = replaced_at - interval '1 minute' where replaced_at is not null",
    )
    .execute(&accounts.stack.pool)
    .await?;
    assert_eq!(code(accounts.refresh(&ada.refresh, "").await), ErrorCode::Unauthenticated);
    for token in [&ada.access, &next.access_token, &again.access_token] {
        assert_eq!(code(accounts.who_am_i(token).await), ErrorCode::Unauthenticated);
    }
    assert_eq!(code(accounts.refresh(&again.refresh_token, "").await), ErrorCode::Unauthenticated);
    for wrong in ["", "x", "tyr_", &ada.access] {
        assert_eq!(code(accounts.refresh(wrong, "").await), ErrorCode::Unauthenticated, "{wrong}");
    }
    accounts.close().await
}

/// A used token is remembered as long as it would have lived, and no longer.
#[tokio::test]
async fn used_refresh_tokens_are_forgotten_in_time() -> Result<()> {
    let accounts = Accounts::open().await?;
    let ada = accounts.register("ada@example.com").await?;
    let second = accounts.refresh(&ada.refresh, "").await?.refresh_token;
    let age = async |days: i32| {
        let sql = "update tasks.refresh_tokens set replaced_at = now() - $1 * interval '1 day'
            where replaced_at > now() - interval '1 day'";
        sqlx::query(sql).bind(f64::from(days)).execute(&accounts.stack.pool).await
    };
    age(31).await?;
    let third = accounts.refresh(&second, "").await?.refresh_token;
    age(29).await?;
    let kept = "select count(*) from tasks.refresh_tokens";
    assert_eq!(accounts.stack.number(kept).await?, 3);
    // The leader keeps house half a minute after it began.
    eventually(Duration::from_secs(60), "the oldest is forgotten", async || {
        (accounts.stack.number(kept).await.ok()? == 2).then_some(())
    })
    .await?;
    // What is forgotten is not known, and ends nothing; what is remembered does.
    assert_eq!(code(accounts.refresh(&ada.refresh, "").await), ErrorCode::Unauthenticated);
    let fourth = accounts.refresh(&third, "").await?;
    assert_eq!(code(accounts.refresh(&second, "").await), ErrorCode::Unauthenticated);
    assert_eq!(code(accounts.who_am_i(&fourth.access_token).await), ErrorCode::Unauthenticated);
    accounts.close().await
}

#[tokio::test]
async fn another_password_ends_the_other_sign_ins() -> Result<()> {
    let accounts = Accounts::open().await?;
    let ada = accounts.register("ada@example.com").await?;
    let other = accounts.sign_in("ada@example.com", PASSWORD, "").await?.tokens.unwrap_or_default();
    let change = async |old: &str, new: &str| {
        let request = v1::ChangePasswordRequest { old_password: old.into(), new_password: new.into() };
        read(accounts.users().change_password(shown(&ada.access, request)).await)
    };
    assert_eq!(code(change("wrong password", "another password").await), ErrorCode::Forbidden);
    assert_eq!(code(change(PASSWORD, "short").await), ErrorCode::InvalidInput);
    change(PASSWORD, "another password").await?;
    assert!(accounts.who_am_i(&ada.access).await.is_ok());
    assert_eq!(code(accounts.who_am_i(&other.access_token).await), ErrorCode::Unauthenticated);
    assert_eq!(code(accounts.sign_in("ada@example.com", PASSWORD, "").await), ErrorCode::Unauthenticated);
    assert!(accounts.sign_in("ada@example.com", "another password", "").await.is_ok());
    accounts.close().await
}

#[tokio::test]
async fn mistakes_are_named_and_registration_can_be_closed() -> Result<()> {
    let accounts = Accounts::open().await?;
    for (email, password, namespace, field) in [
        ("ada", PASSWORD, "", "email"),
        ("ada@example.com", "short", "", "password"),
        ("ada@example.com", PASSWORD, "No Name", "namespace"),
        ("ada\0@example.com", PASSWORD, "", "email"),
    ] {
        let request = v1::RegisterRequest {
            email: email.into(),
            password: password.into(),
            namespace: namespace.into(),
            name: String::new(),
        };
        let error = read(accounts.users().register(request).await).expect_err("it is wrong");
        assert_eq!(error.violations.first().map(|wrong| wrong.field.as_str()), Some(field), "{error}");
    }
    accounts.close().await?;
    let closed = Accounts::with(&[("--registration", "closed")]).await?;
    let error = closed.register("ada@example.com").await.expect_err("it is closed");
    assert!(error.to_string().contains("closed"), "{error}");
    closed.close().await
}

/// What is no token of ours, or of another time, place or shape.
#[tokio::test]
async fn forged_tokens_are_refused() -> Result<()> {
    let accounts = Accounts::open().await?;
    let ada = accounts.register("ada@example.com").await?;
    let parts: Vec<&str> = ada.access.split('.').collect();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let decode = |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    let (header, claims) = (decode(parts[0]), decode(parts[1]));
    assert_eq!((header["alg"].as_str(), claims["aud"].as_str()), (Some("EdDSA"), Some("taskyard")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
    let with = |base: &Value, name: &str, value: Value| {
        let mut changed = base.clone();
        changed[name] = value;
        encode(&changed)
    };
    let none = with(&header, "alg", json!("none"));
    let signed_by_public = {
        // The public key taken for a shared secret.
        let hs256 = with(&header, "alg", json!("HS256"));
        format!("{hs256}.{}.{}", parts[1], parts[2])
    };
    let forged = [
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        signed_by_public,
        format!("{}.{}.{}", parts[0], with(&claims, "exp", json!(9_999_999_999_i64)), parts[2]),
        format!("{}.{}.{}", parts[0], with(&claims, "ns", json!(1)), parts[2]),
        format!("{}.{}.{}", with(&header, "kid", json!("nobody's")), parts[1], parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.{}x", parts[0], parts[1], parts[2]),
        ada.refresh.clone(),
    ];
    for token in &forged {
        assert_eq!(code(accounts.who_am_i(token).await), ErrorCode::Unauthenticated, "{token}");
    }
    // Of another installation that, for whatever reason, has the same keys.
    let other = accounts.stack.pod_with(&[("--issuer", "https://elsewhere.example")]).await?;
    let channel = tonic::transport::Channel::from_shared(other.url())?.connect().await?;
    let mut users = v1::user_service_client::UserServiceClient::new(channel);
    let refused = read(users.who_am_i(shown(&ada.access, v1::WhoAmIRequest {})).await);
    assert_eq!(code(refused), ErrorCode::Unauthenticated);
    other.stop().await?;
    // A token of a pod is good at every pod, and its key is in the set that anybody may read.
    let second = accounts.stack.pod().await?;
    let channel = tonic::transport::Channel::from_shared(second.url())?.connect().await?;
    let mut users = v1::user_service_client::UserServiceClient::new(channel);
    assert!(users.who_am_i(shown(&ada.access, v1::WhoAmIRequest {})).await.is_ok());
    let set: Value = serde_json::from_str(&read(users.get_key_set(v1::GetKeySetRequest {}).await)?.jwks_json)?;
    assert!(set["keys"].as_array().unwrap().iter().any(|key| key["kid"] == header["kid"]), "{set}");
    assert!(set["keys"][0].get("d").is_none() && set["keys"][0]["crv"] == "Ed25519", "{set}");
    second.stop().await?;
    accounts.close().await
}

#[tokio::test]
async fn an_expired_token_is_refused() -> Result<()> {
    let accounts = Accounts::open().await?;
    let ada = accounts.register("ada@example.com").await?;
    // The signing key signs a token that ended a second ago.
    let row: (sqlx::types::Uuid, Vec<u8>) =
        sqlx::query_as("select id, pkcs8 from tasks.signing_keys").fetch_one(&accounts.stack.pool).await?;
    let claims = URL_SAFE_NO_PAD.decode(ada.access.split('.').nth(1).unwrap())?;
    let mut claims: Value = serde_json::from_slice(&claims)?;
    let sign = |claims: &Value| {
        let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": row.0 });
        let message =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let pair = ring::signature::Ed25519KeyPair::from_pkcs8(&row.1).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes())))
    };
    assert!(accounts.who_am_i(&sign(&claims)).await.is_ok(), "the test signs as the service does");
    let now = claims["iat"].as_i64().unwrap();
    for (name, value) in [
        ("exp", json!(now - 1)),
        ("exp", json!("9999999999")),
        ("exp", Value::Null),
        ("aud", json!("another")),
        ("iss", json!("another")),
        ("ns", json!(1)),
        ("sid", json!("01900000-0000-7000-8000-000000000001")),
    ] {
        let good = claims[name].take();
        claims[name] = value.clone();
        assert_eq!(code(accounts.who_am_i(&sign(&claims)).await), ErrorCode::Unauthenticated, "{name}: {value}");
        claims[name] = good;
    }
    accounts.close().await
}

#[tokio::test]
async fn it_takes_as_long_to_refuse_nobody_as_somebody() -> Result<()> {
    let accounts = Accounts::open().await?;
    accounts.register("ada@example.com").await?;
    let time = async |email: &str| -> Result<Duration> {
        let begun = Instant::now();
        assert_eq!(code(accounts.sign_in(email, "wrong password", "").await), ErrorCode::Unauthenticated);
        Ok(begun.elapsed())
    };
    // In turn, and the quickest of each: whatever else the machine does slows both down.
    let (mut somebody, mut nobody) = (Duration::MAX, Duration::MAX);
    for _ in 0..15 {
        somebody = somebody.min(time("ada@example.com").await?);
        nobody = nobody.min(time("nobody@example.com").await?);
    }
    let ratio = somebody.as_secs_f64() / nobody.as_secs_f64();
    // Without a hash to compare with, it would be a hundredth.
    assert!((0.5..2.0).contains(&ratio), "{somebody:?} and {nobody:?}");
    accounts.close().await
}
