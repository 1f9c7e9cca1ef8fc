//! What the command line remembers of servers: where they are, and what to show them.
//!
//! `taskyard login` writes profiles into a file of the user's; `taskyard up` writes one into its own folder, which is
//! found by whoever works in the same place.

mod file;
mod fresh;

use serde::{Deserialize, Serialize};

pub use file::{Profiles, local, write_private};
pub use fresh::{fresh, keep_fresh, switch};

/// A server, and who one is there.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// Where it is.
    pub url: String,
    /// What is shown there.
    #[serde(flatten)]
    pub credentials: Credentials,
}

/// What is shown to a server.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Credentials {
    /// A key, which stays good until it is revoked.
    Key(String),
    /// A sign-in.
    SignIn(SignIn),
}

/// A sign-in: the tokens change with each refresh.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SignIn {
    /// Who.
    pub email: String,
    /// The namespace that the access token is bound to.
    pub namespace: String,
    /// For calls.
    pub access_token: String,
    /// When that one ends, in seconds since 1970.
    pub expires_at: i64,
    /// For the next pair.
    pub refresh_token: String,
}
