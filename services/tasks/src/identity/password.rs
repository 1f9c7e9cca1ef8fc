//! Passwords: Argon2id, off the threads that serve, and only a few at a time.

use std::{sync::Arc, time::Duration};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use taskyard_core::{Error, ErrorCode, Result, limits};
use tokio::sync::Semaphore;

/// Passwords that are hashed at once; each takes a core and 19 MiB for some 20 ms.
const AT_ONCE: usize = 2;
/// How long a password waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Hashes and compares passwords.
#[derive(Clone, Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    /// Compared with where there is no user, so that it takes as long.
    nobody: Arc<str>,
}

impl Passwords {
    pub fn new() -> anyhow::Result<Self> {
        let nobody = hash("nobody's password")?;
        Ok(Self { turns: Arc::new(Semaphore::new(AT_ONCE)), nobody: nobody.into() })
    }

    /// The hash to be stored.
    ///
    /// # Errors
    /// If too many wait.
    pub async fn hash(&self, password: String) -> Result<String> {
        self.in_turn(move || hash(&password)).await?.map_err(|error| Error::internal(error.to_string()))
    }

    /// Whether it is the password of a hash. Without a hash it takes as long, and is not.
    ///
    /// # Errors
    /// If too many wait.
    pub async fn matches(&self, password: String, stored: Option<&str>) -> Result<bool> {
        let known = stored.is_some();
        let stored = stored.unwrap_or(&self.nobody).to_owned();
        let same = self
            .in_turn(move || {
                let parsed = PasswordHash::new(&stored);
                parsed.is_ok_and(|parsed| Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
            })
            .await?;
        Ok(same && known)
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let turn = tokio::time::timeout(WAIT_MAX, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            let mut error = Error::new(ErrorCode::Exhausted, "too many people sign in at once; try again");
            error.retry_after = Some(Duration::from_secs(2));
            return Err(error);
        };
        let done = tokio::task::spawn_blocking(move || {
            // Held by the work itself: who asked may have gone.
            let _turn = turn;
            work()
        });
        done.await.map_err(|error| Error::internal(error.to_string()))
    }
}

/// Refuses a password that is too short or too long.
pub fn check(field: &str, password: &str) -> Result<()> {
    let length = password.chars().count();
    if !(limits::PASSWORD_CHARS_MIN..=limits::PASSWORD_CHARS_MAX).contains(&length) {
        let (min, max) = (limits::PASSWORD_CHARS_MIN, limits::PASSWORD_CHARS_MAX);
        return Err(Error::invalid(field, format!("has {length} characters; it must have {min} to {max}")));
    }
    Ok(())
}

fn hash(password: &str) -> anyhow::Result<String> {
    // Argon2id with 19 MiB and two passes: what OWASP recommends, and the library's default.
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let passwords = Passwords::new().unwrap();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.matches("correct horse".into(), Some(&hash)).await.unwrap());
        assert!(!passwords.matches("correct horsf".into(), Some(&hash)).await.unwrap());
        assert!(!passwords.matches("nobody's password".into(), None).await.unwrap());
        assert!(!passwords.matches("x".into(), Some("not a hash")).await.unwrap());
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        assert!(check("password", "пароль-пароль").is_ok());
        assert!(check("password", "short").is_err());
        assert!(check("password", &"x".repeat(257)).is_err());
    }
}
