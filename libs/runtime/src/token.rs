//! The one token that guards this version's doors: shared by all clients, and optional on loopback only.

mod layer;

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use subtle::ConstantTimeEq;
use taskyard_core::{Error, ErrorCode, Result};
use tonic::{Status, metadata::MetadataMap, service::Interceptor};

pub use layer::{GuardLayer, GuardService};

use crate::config::{Problems, Secret, read_secret};

/// The shortest token that is taken.
pub const TOKEN_BYTES_MIN: usize = 16;

/// The token of this installation.
#[derive(Args, Clone, Debug)]
pub struct TokenArgs {
    /// The token that clients must send; without one only loopback addresses are served
    #[arg(long, env = "TASKYARD_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<Secret>,
    /// A file that holds the token
    #[arg(long, env = "TASKYARD_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl TokenArgs {
    /// The token that is given, checked.
    pub fn check(&self, problems: &mut Problems) -> SharedToken {
        let secret = read_secret("TASKYARD_TOKEN", self.token.as_ref(), self.token_file.as_ref(), problems);
        let token = secret.and_then(|secret| problems.take(SharedToken::new(secret)));
        token.unwrap_or_else(SharedToken::none)
    }
}

/// The token that every client must show, or none. As an [`Interceptor`] it is shown on calls of ours.
#[derive(Clone, Debug)]
pub struct SharedToken(Option<Shown>);

#[derive(Clone, Debug)]
struct Shown {
    token: Secret,
    // Marked as sensitive, so its Debug does not show it either.
    header: HeaderValue,
}

impl SharedToken {
    /// Everyone is let in.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// Only who shows this token is let in.
    ///
    /// # Errors
    /// If it is short or has characters that cannot stand in a header.
    pub fn new(token: Secret) -> anyhow::Result<Self> {
        let text = token.expose();
        anyhow::ensure!(
            text.len() >= TOKEN_BYTES_MIN,
            "TASKYARD_TOKEN has {} characters; it must have at least {TOKEN_BYTES_MIN}, such as `openssl rand -hex 32` \
             makes",
            text.len()
        );
        anyhow::ensure!(
            text.bytes().all(|byte| byte.is_ascii_graphic()),
            "TASKYARD_TOKEN must hold only visible ASCII characters"
        );
        let mut header = HeaderValue::try_from(format!("Bearer {text}"))?;
        header.set_sensitive(true);
        Ok(Self(Some(Shown { token, header })))
    }

    /// A token is set.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// The token itself, for a client of ours.
    #[must_use]
    pub fn expose(&self) -> Option<&str> {
        self.0.as_ref().map(|shown| shown.token.expose())
    }

    /// Lets a request in, by its `authorization` header.
    ///
    /// # Errors
    /// If a token is set and the header does not show it.
    pub fn admit(&self, headers: &HeaderMap) -> Result<()> {
        let Some(shown) = &self.0 else { return Ok(()) };
        let refused = |message: &str| Err(Error::new(ErrorCode::Unauthenticated, message));
        let Some(given) = headers.get(AUTHORIZATION) else {
            return refused("this server needs a token; send it as `authorization: Bearer <token>`");
        };
        let Some(given) = bearer(given.as_bytes()) else {
            return refused("the authorization header must be `Bearer <token>`");
        };
        // In constant time, so that nobody guesses the token byte by byte.
        if bool::from(given.ct_eq(shown.token.expose().as_bytes())) { Ok(()) } else { refused("the token is wrong") }
    }

    /// Shows the token on a call of ours.
    pub fn show(&self, metadata: &mut MetadataMap) {
        if let Some(shown) = &self.0
            && let Ok(value) = shown.header.as_bytes().try_into()
        {
            let mut value: tonic::metadata::AsciiMetadataValue = value;
            value.set_sensitive(true);
            metadata.insert(AUTHORIZATION.as_str(), value);
        }
    }
}

impl Interceptor for SharedToken {
    fn call(&mut self, mut request: tonic::Request<()>) -> std::result::Result<tonic::Request<()>, Status> {
        self.show(request.metadata_mut());
        Ok(request)
    }
}

/// Refuses to listen where others can connect while no token is set.
///
/// # Errors
/// If the address is not loopback and there is no token.
pub fn guard_listen(address: SocketAddr, token: &SharedToken) -> anyhow::Result<()> {
    anyhow::ensure!(
        token.is_set() || address.ip().to_canonical().is_loopback(),
        "{address} can be reached from other machines, so a token is needed: set TASKYARD_TOKEN (at least \
         {TOKEN_BYTES_MIN} characters) or TASKYARD_TOKEN_FILE, or listen on 127.0.0.1"
    );
    Ok(())
}

fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> SharedToken {
        SharedToken::new("0123456789abcdef".into()).unwrap()
    }

    fn admit(header: Option<&str>) -> Result<()> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(AUTHORIZATION, header.parse().unwrap());
        }
        token().admit(&headers)
    }

    #[test]
    fn only_the_token_is_let_in() {
        assert!(admit(Some("Bearer 0123456789abcdef")).is_ok());
        assert!(admit(Some("bearer 0123456789abcdef")).is_ok());
        for wrong in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer 0123456789abcdeF"),
            Some("Bearer 0123456789abcdef0"),
            Some("Basic 0123456789abcdef"),
            Some("0123456789abcdef"),
        ] {
            assert_eq!(admit(wrong).unwrap_err().code, ErrorCode::Unauthenticated, "{wrong:?}");
        }
        assert!(SharedToken::none().admit(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_weak_token_is_refused() {
        assert!(SharedToken::new("short".into()).is_err());
        assert!(SharedToken::new("with a space in the middle".into()).is_err());
        assert!(SharedToken::new("ümlautümlautümlaut".into()).is_err());
    }

    #[test]
    fn it_never_shows_in_a_log() {
        assert!(!format!("{:?}", token()).contains("0123456789abcdef"));
    }

    #[test]
    fn without_a_token_only_loopback_is_served() {
        for address in ["127.0.0.1:1", "127.1.2.3:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(guard_listen(address.parse().unwrap(), &SharedToken::none()).is_ok(), "{address}");
        }
        for address in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            let error = guard_listen(address.parse().unwrap(), &SharedToken::none()).unwrap_err();
            assert!(error.to_string().contains("set TASKYARD_TOKEN"), "{error}");
            assert!(guard_listen(address.parse().unwrap(), &token()).is_ok());
        }
    }

    #[test]
    fn a_call_of_ours_is_let_in() {
        let mut metadata = MetadataMap::new();
        token().show(&mut metadata);
        assert!(token().admit(metadata.as_ref()).is_ok());
    }
}
