//! Secrets that we make: keys, refresh tokens, invitations, and the keys of our own services. They are random enough
//! that a plain hash of them can be stored and looked up.

use anyhow::Context;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

/// What a secret is for; its first letters say so, for people and for programs that look for leaked secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Key,
    Refresh,
    Invitation,
    Service,
}

impl Kind {
    /// What its secrets begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Key => "tyk_",
            Self::Refresh => "tyr_",
            Self::Invitation => "tyi_",
            Self::Service => "tys_",
        }
    }

    /// The hash that a secret of this kind is stored as; none if it is of another kind.
    pub fn hash(self, secret: &str) -> Option<[u8; 32]> {
        secret.starts_with(self.prefix()).then(|| Sha256::digest(secret.as_bytes()).into())
    }
}

/// A new secret, shown once.
pub struct NewSecret {
    pub text: String,
    pub hash: [u8; 32],
}

impl NewSecret {
    /// 32 random bytes.
    pub fn make(kind: Kind) -> anyhow::Result<Self> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).ok().context("the system has no randomness")?;
        let text = format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(bytes));
        let hash = Sha256::digest(text.as_bytes()).into();
        Ok(Self { text, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_kind() {
        let (one, two) = (NewSecret::make(Kind::Key).unwrap(), NewSecret::make(Kind::Key).unwrap());
        assert_ne!(one.text, two.text);
        assert_eq!(Kind::Key.hash(&one.text), Some(one.hash));
        assert_eq!(Kind::Refresh.hash(&one.text), None);
        assert_eq!(one.text.len(), 47);
    }
}
