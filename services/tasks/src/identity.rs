//! Who callers are: passwords, secrets, signed tokens, and the place where all of them are verified.

mod changes;
mod crypto;
mod issuers;
mod password;
mod secret;
mod signing;
mod uses;
mod verify;

pub use changes::Changes;
pub use issuers::{Issuers, TrustedIssuer, Vouched};
pub use password::{Passwords, check as check_password};
pub use secret::{Kind, NewSecret};
pub use signing::{ACCESS_TOKEN_LIFE, Signer};
pub use uses::KeyUses;
pub use verify::Verifier;
