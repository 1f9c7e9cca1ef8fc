//! Who calls: tokens are verified once, remembered, and forgotten as soon as anybody may have lost a right.
//!
//! Whatever takes a right away raises the *revision* in its transaction and then tells all processes over Redis whom it
//! concerns. A process that missed a message sees so by the next message's revision, or by asking for the revision
//! every few seconds, and forgets everybody. While it cannot learn the revision it remembers nobody.

mod bearer;
mod change;
mod known;
mod layer;
mod standing;

pub use bearer::{bearer, optional_bearer};
pub use change::{Change, Concerns};
pub use known::{Ask, Identities};
pub use layer::{AuthLayer, AuthService, Verified, caller};
