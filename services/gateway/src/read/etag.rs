//! The version of a task or schedule as an entity tag.

use axum::http::{HeaderMap, HeaderValue, header::IF_MATCH};
use taskyard_core::{Error, Result};

/// The tag of a version.
pub(crate) fn etag(version: u32) -> HeaderValue {
    // Quotes and digits always are a header's value.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

/// The version that a change is made for, if the client says so.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<u32>> {
    let Some(given) = headers.get(IF_MATCH) else { return Ok(None) };
    if given == "*" {
        return Ok(None);
    }
    let text = given.to_str().ok().and_then(|text| text.strip_prefix('"')?.strip_suffix('"'));
    let version = text.and_then(|text| text.parse().ok()).filter(|version| *version != 0);
    version.map(Some).ok_or_else(|| {
        let given = given.as_bytes().escape_ascii();
        Error::invalid("If-Match", format!("`{given}` must be one ETag of an answer, such as \"3\", or *"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        let read = |text: &str| if_match(&[(IF_MATCH, text.parse().unwrap())].into_iter().collect());
        assert_eq!(read(etag(3).to_str().unwrap()).unwrap(), Some(3));
        assert_eq!(read("*").unwrap(), None);
        assert_eq!(if_match(&HeaderMap::new()).unwrap(), None);
        for bad in ["3", "W/\"3\"", "\"3\", \"4\"", "\"0\"", "\"x\"", "\"", ""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
