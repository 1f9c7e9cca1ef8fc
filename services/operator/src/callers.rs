//! Who calls: the API server's aggregator, known by its certificate, on behalf of a user whom it names in headers; and
//! whether that user may.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use axum::http::HeaderMap;
use k8s_openapi::api::{
    authorization::v1::{NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    core::v1::ConfigMap,
};
use kube::{Api, Client, api::PostParams};
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use x509_cert::{
    Certificate,
    der::{Decode, oid::ObjectIdentifier},
};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// How the cluster's aggregator is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregator {
    /// Who signs its certificate, as PEM.
    pub authorities: String,
    /// The common names that it may have; any if empty.
    names: Vec<String>,
    user_headers: Vec<String>,
    group_headers: Vec<String>,
    extra_prefixes: Vec<String>,
}

/// Who is behind a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub name: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Metric { namespace: String, name: String },
    Path(String),
}

impl Aggregator {
    /// As the cluster publishes it.
    pub async fn read(client: &Client) -> Result<Self> {
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
        let map = maps
            .get("extension-apiserver-authentication")
            .await
            .context("the ConfigMap kube-system/extension-apiserver-authentication cannot be read")?;
        Self::from_data(&map.data.unwrap_or_default())
    }

    fn from_data(data: &BTreeMap<String, String>) -> Result<Self> {
        let list = |key: &str| -> Result<Vec<String>> {
            let text = data.get(key).map_or("[]", String::as_str);
            serde_json::from_str(text).with_context(|| format!("{key} is no list of texts"))
        };
        let authorities = data.get("requestheader-client-ca-file").filter(|text| !text.trim().is_empty());
        Ok(Self {
            authorities: authorities
                .context("this cluster has no aggregation layer: no requestheader-client-ca-file")?
                .clone(),
            names: list("requestheader-allowed-names")?,
            user_headers: list("requestheader-username-headers")?,
            group_headers: list("requestheader-group-headers")?,
            extra_prefixes: list("requestheader-extra-headers-prefix")?,
        })
    }

    /// The user of a call. None if it does not come from the aggregator. The certificate's signature was checked when
    /// the connection was made.
    pub fn user(&self, certificate: Option<&CertificateDer<'_>>, headers: &HeaderMap) -> Option<User> {
        let name = common_name(certificate?)?;
        if !self.names.is_empty() && !self.names.contains(&name) {
            return None;
        }
        let values = |names: &[String]| -> Vec<String> {
            let values = names.iter().flat_map(|name| headers.get_all(name));
            values.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
        };
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in headers {
            let lower = self.extra_prefixes.iter().map(|prefix| prefix.to_ascii_lowercase());
            let key = lower.filter_map(|prefix| name.as_str().strip_prefix(&prefix).map(str::to_owned)).next();
            if let (Some(key), Ok(value)) = (key, value.to_str()) {
                let key = percent_decode_str(&key).decode_utf8_lossy().into_owned();
                extra.entry(key).or_default().push(value.to_owned());
            }
        }
        let name = values(&self.user_headers).into_iter().find(|name| !name.is_empty())?;
        Some(User { name, groups: values(&self.group_headers), extra })
    }
}

/// Whether the cluster lets a user do it.
pub async fn may(client: &Client, user: &User, asked: &Asked) -> Result<bool> {
    let (resource, path) = match asked {
        Asked::Metric { namespace, name } => (
            Some(ResourceAttributes {
                group: Some(crate::api::GROUP.into()),
                version: Some(crate::api::VERSION.into()),
                resource: Some(name.clone()),
                namespace: Some(namespace.clone()),
                verb: Some("list".into()),
                ..ResourceAttributes::default()
            }),
            None,
        ),
        Asked::Path(path) => (None, Some(NonResourceAttributes { path: Some(path.clone()), verb: Some("get".into()) })),
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.name.clone()),
            groups: Some(user.groups.clone()),
            extra: Some(user.extra.clone()),
            resource_attributes: resource,
            non_resource_attributes: path,
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await.context("the access cannot be reviewed")?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let attributes = certificate.tbs_certificate.subject.0.iter().flat_map(|name| name.0.iter());
    let name = attributes.rev().find(|attribute| attribute.oid == COMMON_NAME)?;
    String::from_utf8(name.value.value().to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn aggregator(names: &str) -> Aggregator {
        let data = [
            ("requestheader-client-ca-file", "-----BEGIN CERTIFICATE-----"),
            ("requestheader-allowed-names", names),
            ("requestheader-username-headers", r#"["X-Remote-User"]"#),
            ("requestheader-group-headers", r#"["X-Remote-Group"]"#),
            ("requestheader-extra-headers-prefix", r#"["X-Remote-Extra-"]"#),
        ];
        Aggregator::from_data(&data.map(|(key, value)| (key.to_owned(), value.to_owned())).into()).unwrap()
    }

    fn certificate(name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_user_is_believed_from_the_aggregator_only() {
        let sent = headers(&[
            ("x-remote-user", "jane"),
            ("x-remote-group", "dev"),
            ("x-remote-group", "ops"),
            ("x-remote-extra-example.com%2fscope", "all"),
        ]);
        let known = aggregator(r#"["front-proxy-client"]"#);
        let user = known.user(Some(&certificate("front-proxy-client")), &sent).unwrap();
        assert_eq!((user.name.as_str(), user.groups), ("jane", vec!["dev".to_owned(), "ops".to_owned()]));
        assert_eq!(user.extra["example.com/scope"], ["all"]);
        assert_eq!(known.user(None, &sent), None, "without a certificate");
        assert_eq!(known.user(Some(&certificate("kubelet")), &sent), None, "with another name");
        assert_eq!(known.user(Some(&certificate("front-proxy-client")), &HeaderMap::new()), None, "for nobody");
        assert!(aggregator("[]").user(Some(&certificate("any")), &sent).is_some(), "any name where none is given");
    }

    #[test]
    fn a_cluster_without_aggregation_is_told() {
        let error = Aggregator::from_data(&BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("no aggregation layer"), "{error}");
    }
}
