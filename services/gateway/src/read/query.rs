//! Query parameters.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use chrono::{DateTime, Utc};
use taskyard_core::{Error, Result, limits::shorten};
use taskyard_proto::convert::timestamp_to_proto;
use taskyard_runtime::http_error::Problem;

use crate::{
    app::App,
    openapi::{Input, Operation},
};

/// What can be given several times.
const REPEATED: [&str; 1] = ["label"];

/// The parameters of a request. What a handler has not taken when it calls [`finish`](Self::finish) is refused.
#[derive(Debug)]
pub(crate) struct Params {
    left: BTreeMap<String, Vec<String>>,
    known: Vec<&'static str>,
}

impl FromRequestParts<App> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let Query(pairs) = pairs.map_err(|error| Error::invalid("query", error.body_text()))?;
        Ok(Self::new(pairs)?)
    }
}

impl Input for Params {
    // Each route names its own.
    fn describe(_: &mut Operation) {}
}

impl Params {
    fn new(pairs: Vec<(String, String)>) -> Result<Self> {
        let mut left: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in pairs {
            if left.contains_key(&name) && !REPEATED.contains(&name.as_str()) {
                return Err(Error::invalid(
                    shorten(&name, 60),
                    "is given twice; give it once, with commas between values",
                ));
            }
            left.entry(name).or_default().push(value);
        }
        Ok(Self { left, known: Vec::new() })
    }

    /// A text; empty if it is not given.
    pub(crate) fn text(&mut self, name: &'static str) -> String {
        self.texts(name).pop().unwrap_or_default()
    }

    /// All texts of a parameter that can be given several times.
    pub(crate) fn texts(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        self.left.remove(name).unwrap_or_default()
    }

    /// A text that says something; nothing if it is not given.
    fn given(&mut self, name: &'static str) -> Result<Option<String>> {
        match self.texts(name).pop() {
            Some(text) if text.is_empty() => Err(Error::invalid(name, "is empty; leave it out or give a value")),
            text => Ok(text),
        }
    }

    /// A value that is read from its text; nothing if it is not given.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Result<Option<T>> {
        let Some(text) = self.given(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|error| Error::invalid(name, format!("`{}`: {error}", shorten(&text, 60))))
    }

    /// A number; 0 if it is not given.
    pub(crate) fn number(&mut self, name: &'static str) -> Result<u32> {
        let Some(text) = self.given(name)? else { return Ok(0) };
        text.parse().map_err(|_| Error::invalid(name, format!("`{}` must be a whole number", shorten(&text, 60))))
    }

    /// Values with commas between.
    pub(crate) fn list<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Result<Vec<T>> {
        let text = self.text(name);
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let read = |part: &str| part.parse().map_err(|error: T::Err| Error::invalid(name, error.to_string()));
        parts.map(read).collect()
    }

    /// A time.
    pub(crate) fn time(&mut self, name: &'static str) -> Result<Option<prost_types::Timestamp>> {
        let Some(text) = self.given(name)? else { return Ok(None) };
        match DateTime::parse_from_rfc3339(&text) {
            Ok(time) => Ok(Some(timestamp_to_proto(time.with_timezone(&Utc)))),
            Err(error) => {
                let hint = if text.contains(' ') { "; write `+` as %2B in a URL" } else { "" };
                let message = format!(
                    "`{}` is not a time as in RFC 3339, such as 2026-01-31T12:00:00Z: {error}{hint}",
                    shorten(&text, 60)
                );
                Err(Error::invalid(name, message))
            }
        }
    }

    /// Refuses what is left.
    pub(crate) fn finish(self) -> Result<()> {
        let Some(name) = self.left.keys().next() else { return Ok(()) };
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        Err(Error::invalid(shorten(name, 60), format!("is not a parameter of this route; known are: {known}")))
    }
}

#[cfg(test)]
mod tests {
    use taskyard_core::TaskState;

    use super::*;

    fn params(query: &str) -> Result<Params> {
        let uri = format!("/v1/tasks?{query}").parse().unwrap();
        Params::new(Query::try_from_uri(&uri).unwrap().0)
    }

    #[test]
    fn parameters_are_read() {
        let mut given = params("state=ready,%20dead&page_size=7&created_after=2026-01-02T03:04:05%2B02:00").unwrap();
        assert_eq!(given.list::<TaskState>("state").unwrap(), [TaskState::Ready, TaskState::Dead]);
        assert_eq!(given.number("page_size").unwrap(), 7);
        assert_eq!(given.time("created_after").unwrap().unwrap().seconds, 1_767_315_845);
        assert_eq!(given.text("queue"), "");
        assert!(given.finish().is_ok());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let message = |error: Error| error.message;
        let mut given = params("state=done&page_size=x&created_after=2026-01-02T03:04:05+02:00&colour=red").unwrap();
        assert!(
            message(given.list::<TaskState>("state").unwrap_err()).starts_with("state: `done` is not a state; use")
        );
        assert!(message(given.number("page_size").unwrap_err()).contains("whole number"));
        assert!(message(given.time("created_after").unwrap_err()).contains("%2B"));
        assert_eq!(
            message(given.finish().unwrap_err()),
            "colour: is not a parameter of this route; known are: state, page_size, created_after"
        );
        assert!(params("a=1&a=2").is_err());
        assert_eq!(params("label=a:1&label=b:2").unwrap().texts("label"), ["a:1", "b:2"]);
        let mut empty = params("page_size=&created_after=&order=&queue=").unwrap();
        assert!(empty.number("page_size").is_err() && empty.time("created_after").is_err());
        assert!(empty.parsed::<u8>("order").is_err() && empty.text("queue").is_empty());
    }
}
