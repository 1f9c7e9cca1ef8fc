//! JSON bodies.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    extract::{FromRequest, Request},
    http::{HeaderMap, header::CONTENT_TYPE},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http_body::Body as _;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use taskyard_core::{Error, ErrorCode, Result, limits::REQUEST_BYTES_MAX};
use taskyard_runtime::http_error::Problem;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::Object;
use crate::{
    app::App,
    openapi::{Input, Operation},
};

const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 64 << 20;

/// A JSON body. The room that its bytes take is held until it is dropped.
#[derive(Debug)]
pub(crate) struct JsonBody<T> {
    pub(crate) value: T,
    _room: Option<OwnedSemaphorePermit>,
}

/// A JSON body, or none.
#[derive(Debug)]
pub(crate) struct OptionalJsonBody<T>(pub(crate) Option<JsonBody<T>>);

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        check_content_type(request.headers())?;
        let (bytes, room) = read(request.into_body(), app).await?;
        if bytes.is_empty() {
            return Err(Error::invalid("body", "is empty; it must be a JSON object").into());
        }
        Ok(Self { value: from_json(&bytes)?, _room: room })
    }
}

impl<T: DeserializeOwned> FromRequest<App> for OptionalJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(None));
        }
        let typed = check_content_type(request.headers());
        let (bytes, room) = read(request.into_body(), app).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        typed?;
        Ok(Self(Some(JsonBody { value: from_json(&bytes)?, _room: room })))
    }
}

impl<T: JsonSchema> Input for JsonBody<T> {
    fn describe(operation: &mut Operation) {
        operation.add_body::<T>(true);
    }
}

impl<T: JsonSchema> Input for OptionalJsonBody<T> {
    fn describe(operation: &mut Operation) {
        operation.add_body::<T>(false);
    }
}

/// Reads a JSON object. An error says which field, where, and what would be right.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let Object(value) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "body".to_owned() } else { path };
        Error::invalid(field, error.into_inner().to_string())
    })?;
    reader.end().map_err(|error| Error::invalid("body", error.to_string()))?;
    Ok(value)
}

/// A web page can post forms and plain text to any server, but JSON only with that server's consent.
fn check_content_type(headers: &HeaderMap) -> Result<()> {
    let given = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes().escape_ascii().to_string()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if matches!(essence.as_str(), "application/json" | "application/merge-patch+json") {
        return Ok(());
    }
    let message = format!("the content type is `{given}`; it must be application/json");
    Err(Error::new(ErrorCode::Unsupported, message))
}

async fn read(body: Body, app: &App) -> Result<(Bytes, Option<OwnedSemaphorePermit>)> {
    let announced = body.size_hint().lower();
    let mut parts = body.into_data_stream();
    if announced > REQUEST_BYTES_MAX as u64 {
        linger(&mut parts).await;
        return Err(too_large());
    }
    let deadline = Instant::now() + app.config().body_timeout;
    let mut whole = BytesMut::new();
    let mut room: Option<OwnedSemaphorePermit> = None;
    loop {
        let part = timeout_at(deadline, parts.next()).await.map_err(|_| {
            let limit_ms = app.config().body_timeout.as_millis();
            Error::new(ErrorCode::DeadlineExceeded, format!("the body did not come within {limit_ms} ms"))
        })?;
        let Some(part) = part else { return Ok((whole.freeze(), room)) };
        let part = part.map_err(|error| Error::invalid("body", format!("cannot be read: {error}")))?;
        if whole.len() + part.len() > REQUEST_BYTES_MAX {
            linger(&mut parts).await;
            return Err(too_large());
        }
        let grown = (whole.len() + part.len()).div_ceil(1024) - whole.len().div_ceil(1024);
        let more = app.room_for(grown * 1024)?;
        match &mut room {
            Some(room) => room.merge(more),
            none => *none = Some(more),
        }
        whole.extend_from_slice(&part);
    }
}

/// Takes in and forgets some of what still comes: a client that is busy sending would see a broken connection and not
/// the answer.
async fn linger(parts: &mut BodyDataStream) {
    let deadline = Instant::now() + LINGER;
    let mut left = LINGER_BYTES_MAX;
    while let Ok(Some(Ok(part))) = timeout_at(deadline, parts.next()).await {
        match left.checked_sub(part.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

fn too_large() -> Error {
    Error::new(ErrorCode::TooLarge, format!("the body is larger than {REQUEST_BYTES_MAX} bytes"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(rename = "items")]
        _items: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[serde(rename = "count")]
        _count: u32,
    }

    #[test]
    fn errors_say_which_field_and_where() {
        let wrong = |text: &str| from_json::<Outer>(text.as_bytes()).unwrap_err().message;
        assert_eq!(
            wrong(r#"{"items":[{"count":1},{"count":"2"}]}"#),
            r#"items[1].count: invalid type: string "2", expected u32 at line 1 column 34"#
        );
        assert_eq!(
            wrong(r#"{"items":[],"color":1}"#),
            "color: unknown field `color`, expected `items` at line 1 column 19"
        );
        assert_eq!(wrong("[1]"), "body: invalid type: sequence, expected an object at line 1 column 0");
        assert_eq!(wrong("{\"items\":[]} x"), "body: trailing characters at line 1 column 14");
        assert!(wrong("{\"items\":[\n").contains("at line 2 column 0"));
    }

    #[test]
    fn only_json_is_taken() {
        let check = |kind: &str| check_content_type(&[(CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect());
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data"] {
            assert_eq!(check(bad).unwrap_err().code, ErrorCode::Unsupported, "{bad}");
        }
        assert!(check_content_type(&HeaderMap::new()).is_err());
    }
}
