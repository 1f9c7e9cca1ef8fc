//! What an answer means, and what is kept of it.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use reqwest::{
    Response, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::Serialize;
use taskyard_client::worker::Outcome;
use taskyard_core::limits;

use super::exchange::{Fault, fault_of};

// Of an answer that is a failure.
const EXCERPT_BYTES_MAX: usize = 1_024;
const EXCERPT_TIMEOUT: Duration = Duration::from_secs(2);
const HEADER_BYTES_MAX: usize = 1_024;
const HEADERS_KEPT: [&str; 7] =
    ["content-length", "content-type", "date", "etag", "last-modified", "location", "x-request-id"];

/// The result of an `http` task.
#[derive(Serialize)]
struct Answer {
    status: u16,
    headers: BTreeMap<&'static str, String>,
    /// The body's beginning as text; what is not UTF-8 is replaced.
    body: String,
    /// The body was longer.
    truncated: bool,
}

/// What an answer means.
pub(super) async fn outcome(response: Response, bytes_max: usize) -> Outcome {
    let status = response.status();
    if status.is_success() {
        return match read(response, bytes_max).await {
            Ok(answer) => Outcome::completed(&answer),
            Err(fault) => fault.into(),
        };
    }
    let retry_after = retry_after(response.headers(), SystemTime::now());
    let excerpt = match tokio::time::timeout(EXCERPT_TIMEOUT, read(response, EXCERPT_BYTES_MAX)).await {
        Ok(Ok(answer)) => answer.body,
        // The status says enough.
        Ok(Err(_)) | Err(_) => String::new(),
    };
    let mut error = format!("the server answered {status}");
    if !excerpt.trim().is_empty() {
        error = format!("{error}: {}", excerpt.trim());
    }
    if is_passing(status) { Outcome::Failed { error, fatal: false, retry_after } } else { Outcome::fatal(error) }
}

fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error()
}

async fn read(mut response: Response, bytes_max: usize) -> Result<Answer, Fault> {
    let status = response.status().as_u16();
    let headers = kept(response.headers());
    let mut body = Vec::new();
    let mut truncated = false;
    while let Some(piece) = response.chunk().await.map_err(fault_of)? {
        let room = bytes_max - body.len();
        body.extend_from_slice(&piece[..room.min(piece.len())]);
        if piece.len() > room {
            truncated = true;
            break;
        }
    }
    if truncated {
        // Not half a character.
        let incomplete = std::str::from_utf8(&body).err().filter(|error| error.error_len().is_none());
        body.truncate(incomplete.map_or(body.len(), |error| error.valid_up_to()));
    }
    Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned(), truncated })
}

fn kept(headers: &HeaderMap) -> BTreeMap<&'static str, String> {
    let text = |name| {
        let value = headers.get(name)?;
        let text = String::from_utf8_lossy(value.as_bytes());
        Some((name, limits::shorten(&text, HEADER_BYTES_MAX).to_owned()))
    };
    HEADERS_KEPT.into_iter().filter_map(text).collect()
}

/// `Retry-After`: seconds or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that is too large for us is very long, too.
        text.parse().map_or(limits::RETRY_DELAY_MAX, Duration::from_secs)
    } else {
        httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(delay.min(limits::RETRY_DELAY_MAX))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::try_from(text).unwrap());
            retry_after(&headers, now).map(|delay| delay.as_secs())
        };
        let week = limits::RETRY_DELAY_MAX.as_secs();
        for (text, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("99999999999999999999999999", Some(week)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("Sun Nov  6 08:50:37 1994", Some(60)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("Sat, 06 Nov 2094 08:48:37 GMT", Some(week)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(read(text), seconds, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
