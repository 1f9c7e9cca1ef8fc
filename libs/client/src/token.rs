//! The bearer token that every call carries.

use std::fmt;

use http::HeaderValue;
use taskyard_core::{Error, Result};

/// A bearer token, or none. It is never shown in logs.
#[derive(Clone, Default)]
pub struct Token(Option<HeaderValue>);

impl Token {
    /// No token: for servers that ask for none.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// A token as it was issued, without "Bearer".
    ///
    /// # Errors
    /// If it is empty or holds characters that a header cannot carry.
    pub fn bearer(token: &str) -> Result<Self> {
        let token = token.trim();
        if token.is_empty() {
            return Err(Error::invalid("token", "is empty"));
        }
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Error::invalid("token", "holds characters that a header cannot carry"))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }

    /// A token, or none if there is none.
    ///
    /// # Errors
    /// As [`Token::bearer`].
    pub fn maybe(token: Option<&str>) -> Result<Self> {
        token.map_or_else(|| Ok(Self::none()), Self::bearer)
    }

    pub(crate) const fn header(&self) -> Option<&HeaderValue> {
        self.0.as_ref()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Token(…)" } else { "Token(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_checked_and_never_shown() {
        let token = Token::bearer(" secret\n").expect("a good token");
        assert_eq!(token.header().expect("a header").as_bytes(), b"Bearer secret");
        assert!(!format!("{token:?} {:?}", token.header()).contains("secret"));
        assert!(Token::bearer("").is_err());
        assert!(Token::bearer("a\nb").is_err());
        assert!(Token::maybe(None).expect("none").header().is_none());
    }
}
