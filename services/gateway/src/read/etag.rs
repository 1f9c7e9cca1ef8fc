//! The version of a task or schedule as an entity tag, and requests that depend on it.

use axum::{
    extract::FromRequestParts,
    http::{
        HeaderMap, HeaderValue,
        header::{IF_MATCH, IF_NONE_MATCH},
        request::Parts,
    },
};
use serde_json::json;
use taskyard_core::{Error, ErrorCode, Result};
use taskyard_runtime::http_error::Problem;

use crate::{
    app::App,
    openapi::{Input, Operation},
};

/// The tag of a version.
pub(crate) fn etag(version: u32) -> HeaderValue {
    // Quotes and digits always are a header's value.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

/// The version that a change is made for, if the client says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IfMatch(pub(crate) Option<u32>);

impl IfMatch {
    /// As the tasks service takes it: 0 is any version.
    pub(crate) fn number(self) -> u32 {
        self.0.unwrap_or_default()
    }

    fn of(headers: &HeaderMap) -> Result<Self> {
        let Some(given) = headers.get(IF_MATCH) else { return Ok(Self(None)) };
        if given == "*" {
            return Ok(Self(None));
        }
        let text = given.to_str().ok().and_then(|text| text.strip_prefix('"')?.strip_suffix('"'));
        let version = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        // A number that no task can have is that of no task.
        let version = version.filter(|text| !text.is_empty()).map(|text| text.parse().unwrap_or(u32::MAX));
        let version = version.filter(|version| *version != 0);
        version.map(|version| Self(Some(version))).ok_or_else(|| {
            let given = given.as_bytes().escape_ascii();
            Error::invalid("If-Match", format!("`{given}` must be one ETag of an answer, such as \"3\", or *"))
        })
    }
}

impl FromRequestParts<App> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        Ok(Self::of(&parts.headers)?)
    }
}

impl Input for IfMatch {
    fn describe(operation: &mut Operation) {
        operation.add_parameter(
            "header",
            "If-Match",
            json!({ "type": "string", "pattern": r#"^(\*|"[1-9][0-9]{0,9}")$"# }),
            "The ETag as the caller knows it: refused if it has changed since. `*` is any.",
        );
        operation.add_error(ErrorCode::VersionMismatch);
    }
}

/// The versions that a client has.
#[derive(Clone, Debug, Default)]
pub(crate) struct IfNoneMatch(Vec<String>);

impl IfNoneMatch {
    /// Whether the client has this version.
    pub(crate) fn holds(&self, version: u32) -> bool {
        self.0.iter().any(|tag| tag == "*" || etag(version) == tag.as_str())
    }

    /// Tags are compared without the mark of weak ones, as RFC 9110 wants it. What is no tag is none that we gave.
    fn of(headers: &HeaderMap) -> Self {
        let lists = headers.get_all(IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
        let tags = lists.flat_map(|list| list.split(',')).map(|tag| tag.trim());
        Self(tags.map(|tag| tag.strip_prefix("W/").unwrap_or(tag).to_owned()).collect())
    }
}

impl FromRequestParts<App> for IfNoneMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        Ok(Self::of(&parts.headers))
    }
}

impl Input for IfNoneMatch {
    fn describe(operation: &mut Operation) {
        operation.add_parameter(
            "header",
            "If-None-Match",
            json!({ "type": "string" }),
            "The ETag as the caller has it: answered with 304 if it has not changed since.",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        let read = |text: &str| IfMatch::of(&[(IF_MATCH, text.parse().unwrap())].into_iter().collect()).map(|it| it.0);
        assert_eq!(read(etag(3).to_str().unwrap()).unwrap(), Some(3));
        assert_eq!(read("\"99999999999\"").unwrap(), Some(u32::MAX));
        assert_eq!(read("*").unwrap(), None);
        assert_eq!(IfMatch::of(&HeaderMap::new()).unwrap().number(), 0);
        for bad in ["3", "W/\"3\"", "\"3\", \"4\"", "\"0\"", "\"+3\"", "\"x\"", "\"", ""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_client_has() {
        let holds = |lists: &[&str], version| {
            let headers = lists.iter().map(|list| (IF_NONE_MATCH, list.parse().unwrap())).collect();
            IfNoneMatch::of(&headers).holds(version)
        };
        assert!(holds(&["\"3\""], 3) && holds(&["W/\"3\""], 3) && holds(&["\"1\", \"3\""], 3) && holds(&["*"], 3));
        assert!(holds(&["\"1\"", "\"3\""], 3));
        assert!(!holds(&["\"3\""], 4) && !holds(&["3"], 3) && !holds(&[], 3) && !holds(&["\"1", "3\""], 1));
    }
}
