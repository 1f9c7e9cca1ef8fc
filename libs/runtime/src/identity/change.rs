//! What all processes are told when somebody loses a right.

use std::{fmt, str::FromStr};

use taskyard_core::{Identity, identity::Caller, task::Namespace};
use uuid::Uuid;

/// Whom a change concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concerns {
    /// A key.
    Key(Uuid),
    /// A sign-in.
    SignIn(Uuid),
    /// A user, with all sign-ins.
    User(Uuid),
    /// Everybody in a namespace.
    Namespace(Namespace),
    /// Anybody: what was said was not heard.
    Everybody,
}

impl Concerns {
    /// Whether this caller may be concerned.
    #[must_use]
    pub fn includes(self, identity: &Identity) -> bool {
        match (self, &identity.caller) {
            (Self::Everybody, _) => true,
            (Self::Namespace(namespace), _) => namespace == identity.namespace,
            (Self::Key(key), Caller::Key { id }) => key == *id,
            (Self::SignIn(one), Caller::User { sign_in, .. }) => one == *sign_in,
            (Self::User(user), Caller::User { id, .. }) => user == *id,
            _ => false,
        }
    }
}

/// A change, with the revision that it led to. As a text it is what travels over Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// One more than before it.
    pub revision: i64,
    /// Whom it concerns.
    pub concerns: Concerns,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "identity {} ", self.revision)?;
        match self.concerns {
            Concerns::Key(id) => write!(f, "key {id}"),
            Concerns::SignIn(id) => write!(f, "sign-in {id}"),
            Concerns::User(id) => write!(f, "user {id}"),
            Concerns::Namespace(namespace) => write!(f, "namespace {namespace}"),
            Concerns::Everybody => f.write_str("everybody -"),
        }
    }
}

/// Not a change, or one of a kind that this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAChange;

impl FromStr for Change {
    type Err = NotAChange;

    fn from_str(text: &str) -> Result<Self, NotAChange> {
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or(NotAChange);
        if word()? != "identity" {
            return Err(NotAChange);
        }
        let revision = word()?.parse().map_err(|_| NotAChange)?;
        let (kind, id) = (word()?, word()?);
        let uuid = || id.parse().map_err(|_| NotAChange);
        let concerns = match kind {
            "key" => Concerns::Key(uuid()?),
            "sign-in" => Concerns::SignIn(uuid()?),
            "user" => Concerns::User(uuid()?),
            "namespace" => Concerns::Namespace(id.parse().map_err(|_| NotAChange)?),
            // A newer version's kind, too: then anybody.
            _ => Concerns::Everybody,
        };
        Ok(Self { revision, concerns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_travels_as_a_text() {
        let id = Uuid::now_v7();
        for concerns in
            [Concerns::Key(id), Concerns::SignIn(id), Concerns::User(id), Concerns::Namespace(7), Concerns::Everybody]
        {
            let change = Change { revision: 12, concerns };
            assert_eq!(change.to_string().parse(), Ok(change));
        }
        assert_eq!("identity 3 robot x".parse::<Change>().unwrap().concerns, Concerns::Everybody);
        for wrong in ["", "identity", "identity x key y", "identity 1 key", "identity 1 key x", "cache 1 key x"] {
            assert_eq!(wrong.parse::<Change>(), Err(NotAChange), "{wrong}");
        }
    }
}
