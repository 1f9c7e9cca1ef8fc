//! The bearer token that every call carries.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use http::HeaderValue;
use taskyard_core::{Error, Result};

/// A bearer token, or none. Clones share it, so that one that ends can be replaced while it is in use. It is never
/// shown in logs.
#[derive(Clone, Default)]
pub struct Token(Arc<RwLock<Option<HeaderValue>>>);

impl Token {
    /// No token: for what is open to everybody.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// A token as it was issued, without "Bearer".
    ///
    /// # Errors
    /// If it is empty or holds characters that a header cannot carry.
    pub fn bearer(token: &str) -> Result<Self> {
        Ok(Self(Arc::new(RwLock::new(Some(header(token)?)))))
    }

    /// A token, or none if there is none.
    ///
    /// # Errors
    /// As [`Token::bearer`].
    pub fn maybe(token: Option<&str>) -> Result<Self> {
        token.map_or_else(|| Ok(Self::none()), Self::bearer)
    }

    /// Puts another one in its place, for all calls that begin from now on.
    ///
    /// # Errors
    /// As [`Token::bearer`].
    pub fn replace(&self, token: &str) -> Result<()> {
        let header = header(token)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(header);
        Ok(())
    }

    pub(crate) fn header(&self) -> Option<HeaderValue> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn header(token: &str) -> Result<HeaderValue> {
    let token = token.trim();
    if token.is_empty() {
        return Err(Error::invalid("token", "is empty"));
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Error::invalid("token", "holds characters that a header cannot carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.header().is_some() { "Token(…)" } else { "Token(none)" })
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

    #[test]
    fn clones_learn_of_the_next_one() {
        let token = Token::bearer("one").expect("good");
        let clone = token.clone();
        token.replace("two").expect("good");
        assert_eq!(clone.header().expect("a header").as_bytes(), b"Bearer two");
        assert!(token.replace("").is_err());
    }
}
