//! The payload of an `http` task, checked: every refusal says what was wrong and what would be right.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use reqwest::{
    Method, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::exchange::Request;

const HEADERS_MAX: usize = 100;
const URL_BYTES_MAX: usize = 8_192;
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// What an `http` task asks for.
#[derive(Debug)]
pub(super) struct Payload {
    pub request: Request,
    pub timeout: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object like {\"method\": \"POST\", \"url\": \"https://…\", \"headers\": {}, \"body\": {}}"
)]
struct Raw<'a> {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    timeout_s: Option<f64>,
}

impl Payload {
    /// Reads and checks a payload.
    pub fn read(json: &[u8]) -> Result<Self, String> {
        let raw: Raw<'_> =
            serde_json::from_slice(json).map_err(|error| format!("the payload of an http task: {error}"))?;
        let mut headers = headers(&raw.headers)?;
        let body = raw.body.map(|body| body_of(body, &mut headers)).transpose()?;
        let method = method(raw.method.as_deref(), body.is_some())?;
        let request = Request { method, url: url(&raw.url)?, headers, body };
        Ok(Self { request, timeout: raw.timeout_s.map(timeout).transpose()? })
    }
}

fn url(text: &str) -> Result<Url, String> {
    if text.len() > URL_BYTES_MAX {
        return Err(format!("url has {} bytes; at most {URL_BYTES_MAX} are allowed", text.len()));
    }
    let mut url = Url::parse(text)
        .map_err(|error| format!("url: `{text}` cannot be read ({error}); give one like https://example.com/path"))?;
    url.set_fragment(None);
    Ok(url)
}

fn method(given: Option<&str>, has_body: bool) -> Result<Method, String> {
    let Some(given) = given else {
        return Ok(if has_body { Method::POST } else { Method::GET });
    };
    let known = METHODS.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(given));
    let Some(method) = known else {
        return Err(format!("method: `{given}` is not one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    };
    if has_body && matches!(method, Method::GET | Method::HEAD) {
        return Err(format!("body: a {method} request has none; leave it out, or use POST"));
    }
    Ok(method)
}

fn headers(given: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    if given.len() > HEADERS_MAX {
        return Err(format!("headers are {}; at most {HEADERS_MAX} are allowed", given.len()));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let header = HeaderName::try_from(name).map_err(|_| format!("headers: `{name}` is not a header's name"))?;
        if is_ours(&header) {
            return Err(format!("headers: `{name}` is set by the worker; leave it out"));
        }
        let value = HeaderValue::try_from(value)
            .map_err(|_| format!("headers: the value of `{name}` holds a character that headers cannot have"))?;
        if headers.insert(header, value).is_some() {
            return Err(format!("headers: `{name}` is given twice"));
        }
    }
    Ok(headers)
}

/// What belongs to the connection, or to us.
fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    let names = [
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    names.contains(&name) || name.starts_with("proxy-") || name.starts_with("taskyard-")
}

/// A string is sent as it is, anything else as the JSON document that it is, byte for byte.
fn body_of(body: &RawValue, headers: &mut HeaderMap) -> Result<Bytes, String> {
    let json = body.get();
    if json.starts_with('"') {
        let text: String = serde_json::from_str(json).map_err(|error| format!("body: {error}"))?;
        return Ok(text.into());
    }
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    Ok(Bytes::copy_from_slice(json.as_bytes()))
}

fn timeout(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|timeout| !timeout.is_zero())
        .ok_or_else(|| format!("timeout_s is {seconds}; give a number of seconds above 0"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<Payload, String> {
        Payload::read(json.as_bytes())
    }

    #[test]
    fn a_url_is_enough() {
        let Payload { request, timeout } = read("{\"url\": \"https://example.com/a?b#c\"}").unwrap();
        assert_eq!((request.method, request.url.as_str()), (Method::GET, "https://example.com/a?b"));
        assert!(request.headers.is_empty() && request.body.is_none() && timeout.is_none());
    }

    #[test]
    fn bodies_are_sent_as_they_are_written() {
        for (body, sent, content_type) in [
            ("\"a \\u00e4\\n\"", "a ä\n", None),
            (
                "{\"b\": 1e400, \"a\":12345678901234567890}",
                "{\"b\": 1e400, \"a\":12345678901234567890}",
                Some("application/json"),
            ),
            ("[1]", "[1]", Some("application/json")),
            ("false", "false", Some("application/json")),
        ] {
            let request = read(&format!("{{\"url\":\"http://a\",\"body\":{body}}}")).unwrap().request;
            assert_eq!(request.method, Method::POST);
            assert_eq!(request.body.unwrap(), sent);
            let given = request.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(given.as_deref(), content_type);
        }
        assert!(read("{\"url\":\"http://a\",\"body\":null}").unwrap().request.body.is_none());
        let own = read("{\"url\":\"http://a\",\"body\":1,\"headers\":{\"Content-Type\":\"text/x\"}}").unwrap().request;
        assert_eq!(own.headers[CONTENT_TYPE], "text/x");
        assert_eq!(
            read("{\"url\":\"http://a\",\"timeout_s\":1.5}").unwrap().timeout,
            Some(Duration::from_millis(1_500))
        );
        assert_eq!(read("{\"url\":\"http://a\",\"method\":\"delete\"}").unwrap().request.method, Method::DELETE);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, part) in [
            ("null", "an object like"),
            ("{}", "missing field `url`"),
            ("{\"url\":\"http://a\",\"ulr\":1}", "ulr"),
            ("{\"url\":\"a\"}", "https://example.com/path"),
            ("{\"url\":\"http://\"}", "cannot be read"),
            ("{\"url\":\"http://a\",\"method\":\"CONNECT\"}", "CONNECT"),
            ("{\"url\":\"http://a\",\"method\":\"GET\",\"body\":1}", "use POST"),
            ("{\"url\":\"http://a\",\"headers\":{\"a b\":\"\"}}", "a b"),
            ("{\"url\":\"http://a\",\"headers\":{\"a\":\"b\\nc\"}}", "the value of `a`"),
            ("{\"url\":\"http://a\",\"headers\":{\"a\":1}}", "string"),
            ("{\"url\":\"http://a\",\"headers\":{\"A\":\"\",\"a\":\"\"}}", "twice"),
            ("{\"url\":\"http://a\",\"headers\":{\"Host\":\"b\"}}", "Host"),
            ("{\"url\":\"http://a\",\"headers\":{\"Taskyard-Run\":\"b\"}}", "Taskyard-Run"),
            ("{\"url\":\"http://a\",\"headers\":{\"Proxy-Authorization\":\"b\"}}", "Proxy"),
            ("{\"url\":\"http://a\",\"timeout_s\":0}", "above 0"),
            ("{\"url\":\"http://a\",\"timeout_s\":-1}", "above 0"),
            ("{\"url\":\"http://a\",\"timeout_s\":1e300}", "above 0"),
        ] {
            let error = read(json).expect_err(json);
            assert!(error.contains(part), "{json}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_payload_is_read_or_refused(json in "\\PC{0,60}", url in "\\PC{0,40}", header in "\\PC{0,10}") {
            let _ = read(&json);
            let _ = Payload::read(&serde_json::to_vec(&serde_json::json!({"url": url, "headers": {header: "x"}})).unwrap());
        }
    }
}
