//! The token of a request.

use http::{HeaderMap, header::AUTHORIZATION};
use taskyard_core::{Error, ErrorCode, Result};

/// Bytes of a token; ours are far shorter, those of other issuers hold groups and names.
const TOKEN_BYTES_MAX: usize = 8_192;

/// The token that a request shows.
///
/// # Errors
/// If it shows none, or not one.
pub fn bearer(headers: &HeaderMap) -> Result<&str> {
    optional_bearer(headers)?
        .ok_or_else(|| refused("this needs a token or key; send it as `authorization: Bearer <token>`"))
}

/// The token that a request shows, if it shows one.
///
/// # Errors
/// If there is an authorization header that is not a token.
pub fn optional_bearer(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let Some(header) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(refused("there is more than one authorization header"));
    }
    let text = header.to_str().ok().and_then(|text| text.split_at_checked("Bearer ".len()));
    match text {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer ") && !token.is_empty() => {
            if token.len() > TOKEN_BYTES_MAX {
                return Err(refused("the token is too long"));
            }
            Ok(Some(token))
        }
        _ => Err(refused("the authorization header must be `Bearer <token>`")),
    }
}

fn refused(message: &str) -> Error {
    Error::new(ErrorCode::Unauthenticated, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_bearer_token_is_read() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            optional_bearer(&headers).map(|token| token.map(str::to_owned)).map_err(|error| error.code)
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["Bearer x"]), Ok(Some("x".into())));
        assert_eq!(read(&["bearer x"]), Ok(Some("x".into())));
        for wrong in [&["Bearer "][..], &["Bearer"], &["Basic x"], &["x"], &[""], &["Bearer x", "Bearer x"]] {
            assert_eq!(read(wrong), Err(ErrorCode::Unauthenticated), "{wrong:?}");
        }
        assert!(read(&[&format!("Bearer {}", "x".repeat(8_193))]).is_err());
        assert_eq!(bearer(&HeaderMap::new()).unwrap_err().code, ErrorCode::Unauthenticated);
    }
}
