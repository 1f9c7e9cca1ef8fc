//! Every request has an id, by which it is found in the logs of all services.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
};
use uuid::Uuid;

use crate::app::App;

const NAME: HeaderName = HeaderName::from_static("x-request-id");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const BYTES_MAX: usize = 128;

/// A request's id: the client's, or ours.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    fn of(headers: &HeaderMap) -> Self {
        let good =
            |id: &&HeaderValue| (1..=BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
        let given = headers.get(NAME).filter(good).cloned();
        // A UUID's text always is a header's value.
        Self(given.unwrap_or_else(|| {
            HeaderValue::try_from(Uuid::now_v7().to_string()).unwrap_or_else(|_| HeaderValue::from_static("none"))
        }))
    }

    /// Takes or makes the id, and passes it on.
    pub(super) fn give(request: &mut Request) -> Self {
        let id = Self::of(request.headers());
        request.headers_mut().insert(NAME, id.0.clone());
        request.extensions_mut().insert(id.clone());
        id
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Gives the id back. Answers also say that they are not to be kept, sniffed, framed, embedded or run, and, where it is
/// configured, that this server is only to be called over TLS.
pub(super) fn name(app: &App, id: RequestId, grpc: bool, headers: &mut HeaderMap) {
    headers.insert(NAME, id.0);
    if let Some(hsts) = &app.config().hsts {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    if !grpc {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_harmless_id_is_taken() {
        let id = |given: &[u8]| {
            let headers = [(NAME, HeaderValue::from_bytes(given).unwrap())].into_iter().collect();
            RequestId::of(&headers).as_str().to_owned()
        };
        assert_eq!(id(b"abc-1"), "abc-1");
        for bad in [&b""[..], b"a b", "ä".as_bytes(), &[b'x'; 129]] {
            assert!(Uuid::parse_str(&id(bad)).is_ok());
        }
    }
}
