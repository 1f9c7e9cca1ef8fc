//! The certificate that the API server trusts this operator by.
//!
//! Made by itself, it lies in a Secret that all operator pods share, self-signed, and the API server is told it as
//! `caBundle`. A new one comes long before the old one ends; both are trusted before the new one is shown.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, anyhow, bail};
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceSpec},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use serde_json::json;

use crate::api;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const PREVIOUS: &str = "previous.crt";
const RENEW_AT: &str = "renew-at";
const LIFE: TimeDelta = TimeDelta::days(90);
const RENEW_AFTER: TimeDelta = TimeDelta::days(60);

/// A certificate and its key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

/// What the Secret holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    identity: Identity,
    /// Trusted still: other pods may show it.
    previous: String,
    renew_at: DateTime<Utc>,
}

impl Kept {
    fn new(name: &str, previous: String, now: DateTime<Utc>) -> Result<Self> {
        let day = |time: DateTime<Utc>| -> Result<_> {
            Ok(date_time_ymd(time.year(), u8::try_from(time.month())?, u8::try_from(time.day())?))
        };
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
        // The API server's clock may be behind.
        params.not_before = day(now - TimeDelta::days(1))?;
        params.not_after = day(now + LIFE)?;
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { identity: Identity { certificate, key: key.serialize_pem() }, previous, renew_at: now + RENEW_AFTER })
    }

    /// None if there is nothing that can be used.
    fn read(data: &BTreeMap<String, ByteString>) -> Option<Self> {
        let text = |key: &str| data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
        Some(Self {
            identity: Identity { certificate: text(CERTIFICATE)?, key: text(KEY)? },
            previous: text(PREVIOUS).unwrap_or_default(),
            renew_at: text(RENEW_AT)?.parse().ok()?,
        })
    }

    fn write(&self) -> BTreeMap<String, ByteString> {
        [
            (CERTIFICATE, self.identity.certificate.clone()),
            (KEY, self.identity.key.clone()),
            (PREVIOUS, self.previous.clone()),
            (RENEW_AT, self.renew_at.to_rfc3339()),
        ]
        .into_iter()
        .map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())))
        .collect()
    }

    fn bundle(&self) -> String {
        format!("{}{}", self.identity.certificate, self.previous)
    }
}

/// The certificate in a Secret; made, renewed and made known as needed.
pub async fn own(client: &Client, secret: &str, service: &str) -> Result<Identity> {
    let known = own_api_service(client, service).await?.ca_bundle;
    let namespace = client.default_namespace();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut found =
        secrets.get(secret).await.with_context(|| format!("the Secret {namespace}/{secret} cannot be read"))?;
    let now = Utc::now();
    let kept = found.data.as_ref().and_then(Kept::read);
    let kept = match kept {
        Some(kept) if now < kept.renew_at => kept,
        old => {
            let previous = old.map(|old| old.identity.certificate).unwrap_or_default();
            let new = Kept::new(&format!("{service}.{namespace}.svc"), previous, now)?;
            found.data.get_or_insert_default().append(&mut new.write());
            // With the version that was read: of several pods, one makes it.
            secrets
                .replace(secret, &PostParams::default(), &found)
                .await
                .with_context(|| format!("the Secret {namespace}/{secret} cannot be written"))?;
            tracing::info!(renew_at = %new.renew_at, "a certificate was made");
            new
        }
    };
    let bundle = ByteString(kept.bundle().into_bytes());
    if known.as_ref() != Some(&bundle) {
        make_known(client, &bundle).await?;
    }
    Ok(kept.identity)
}

/// The certificate in a folder, which another renews and makes known.
pub async fn in_folder(client: &Client, folder: &Path, service: &str) -> Result<Identity> {
    own_api_service(client, service).await?;
    let read = async |name: &str| {
        let path = folder.join(name);
        tokio::fs::read_to_string(&path).await.with_context(|| format!("{} cannot be read", path.display()))
    };
    Ok(Identity { certificate: read(CERTIFICATE).await?, key: read(KEY).await? })
}

/// Our registration of the API. A cluster has one server of it: where it is another product's, nothing is touched.
async fn own_api_service(client: &Client, service: &str) -> Result<APIServiceSpec> {
    let services: Api<APIService> = Api::all(client.clone());
    let name = api::api_service();
    let found = services.get_opt(&name).await.with_context(|| format!("the APIService {name} cannot be read"))?;
    let spec = found.and_then(|found| found.spec).ok_or_else(|| anyhow!("there is no APIService {name}"))?;
    let owner = spec.service.clone().unwrap_or_default();
    let (namespace, name) = (owner.namespace.unwrap_or_default(), owner.name.unwrap_or_default());
    if (namespace.as_str(), name.as_str()) != (client.default_namespace(), service) {
        bail!(
            "{} is served by the Service {namespace}/{name} in this cluster, and not by {}/{service}; scale with that \
             and leave this operator off",
            api::GROUP,
            client.default_namespace(),
        );
    }
    Ok(spec)
}

async fn make_known(client: &Client, bundle: &ByteString) -> Result<()> {
    let services: Api<APIService> = Api::all(client.clone());
    let name = api::api_service();
    let patch = Patch::Merge(json!({ "spec": { "caBundle": bundle } }));
    services
        .patch(&name, &PatchParams::default(), &patch)
        .await
        .with_context(|| format!("the certificate cannot be made known to the APIService {name}"))?;
    tracing::info!("the API server was told which certificate to trust");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read_again() {
        let now = Utc::now();
        let first = Kept::new("o.ns.svc", String::new(), now).unwrap();
        assert_eq!(Kept::read(&first.write()).map(|kept| kept.identity), Some(first.identity.clone()));
        assert!(first.renew_at < now + LIFE);
        let second = Kept::new("o.ns.svc", first.identity.certificate.clone(), now).unwrap();
        assert_eq!(second.bundle().matches("BEGIN CERTIFICATE").count(), 2, "the old one stays trusted");
        assert_eq!(Kept::read(&BTreeMap::new()), None);
    }
}
