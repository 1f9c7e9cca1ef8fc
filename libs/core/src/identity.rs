//! Who calls, and what they may do.

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Error, ErrorCode, Result, task::Namespace};

/// A right. A user's follow from their role in the namespace, a key's are written on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Look at tasks, events, queues and schedules.
    TasksRead,
    /// Create and change tasks and schedules.
    TasksWrite,
    /// Be a worker.
    Work,
    /// Steer queues; keys, members and settings of the namespace.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::TasksRead, Self::TasksWrite, Self::Work, Self::Admin];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TasksRead => "tasks:read",
            Self::TasksWrite => "tasks:write",
            Self::Work => "work",
            Self::Admin => "admin",
        }
    }

    /// The scope that is written so.
    ///
    /// # Errors
    /// If there is none.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| {
            Error::invalid(field, format!("`{text}` is not a scope; use tasks:read, tasks:write, work or admin"))
        })
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of rights.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Every right in a namespace.
    pub const ALL: Self = Self(0b1111);

    /// The set that a number stands for; what this version does not know is left out.
    #[must_use]
    pub const fn from_bits(bits: i16) -> Self {
        Self(bits.to_le_bytes()[0] & Self::ALL.0)
    }

    /// The number that stands for it.
    #[must_use]
    pub fn bits(self) -> i16 {
        i16::from(self.0)
    }

    /// Whether it holds a right.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn has_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Its rights.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Scope::as_str)).finish()
    }
}

/// What a member may do in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks.
    Viewer = 1,
    /// Creates and changes tasks, and may be a worker.
    Editor = 2,
    /// Everything, members and keys included.
    Admin = 3,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Editor, Self::Admin];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }

    /// The number in the database.
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// The role with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.number() == number)
    }

    /// The rights that it gives.
    #[must_use]
    pub const fn scopes(self) -> Scopes {
        match self {
            Self::Viewer => Scopes(0b0001),
            Self::Editor => Scopes(0b0111),
            Self::Admin => Scopes::ALL,
        }
    }
}

/// One of our own processes, which belongs to no namespace and has the one right that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Runs the built-in kinds of task, of every queue of every namespace.
    Worker,
    /// Reads the backlog of all queues.
    Operator,
}

/// Who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A person who has signed in.
    User {
        /// The user.
        id: Uuid,
        /// The sign-in that the token is of.
        sign_in: Uuid,
        /// Looks after the whole installation.
        is_site_admin: bool,
    },
    /// A program with a key.
    Key {
        /// The key.
        id: Uuid,
    },
    /// A process of ours.
    Service(Service),
}

/// The namespace of our own services: every one.
pub const EVERY_NAMESPACE: Namespace = 0;

/// A verified caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who it is.
    pub caller: Caller,
    /// How others see it: an e-mail address, or a key's name.
    pub name: String,
    /// The namespace that the token or key is bound to; [`EVERY_NAMESPACE`] for services.
    pub namespace: Namespace,
    /// That namespace's name.
    pub namespace_name: String,
    /// What it may do there.
    pub scopes: Scopes,
    /// The queues that it may touch; all if empty.
    pub queues: Vec<String>,
    /// When the token or key ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Identity {
    /// Whether a queue is open to it.
    #[must_use]
    pub fn may_touch(&self, queue: &str) -> bool {
        self.queues.is_empty() || self.queues.iter().any(|allowed| allowed == queue)
    }

    /// Refuses a queue that is not open to it.
    ///
    /// # Errors
    /// If it is not.
    pub fn check_queue(&self, queue: &str) -> Result<()> {
        if self.may_touch(queue) {
            return Ok(());
        }
        let message = format!("this key is for the queues {} only, not for `{queue}`", self.queues.join(", "));
        Err(Error::new(ErrorCode::Forbidden, message))
    }

    /// Whether its token or key has ended by itself.
    #[must_use]
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// What a call needs of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: everybody may.
    Open,
    /// Any user, key or service.
    Known,
    /// A user, who has signed in.
    User,
    /// A user who looks after the whole installation.
    SiteAdmin,
    /// A right in the namespace.
    Scope(Scope),
    /// A right in the namespace, or to be that service.
    ScopeOrService(Scope, Service),
}

impl Access {
    /// Refuses who may not.
    ///
    /// # Errors
    /// If nobody is known and somebody must be, or the caller has not the right.
    pub fn check(self, identity: Option<&Identity>) -> Result<()> {
        if self == Self::Open {
            return Ok(());
        }
        let Some(identity) = identity else {
            let message = "this needs a token or key; send it as `authorization: Bearer <token>`";
            return Err(Error::new(ErrorCode::Unauthenticated, message));
        };
        let forbidden = |message: String| Err(Error::new(ErrorCode::Forbidden, message));
        let needs = |scope: Scope| match identity.caller {
            Caller::Key { .. } => forbidden(format!("this key has not the scope `{scope}`")),
            Caller::User { .. } => forbidden(format!("your role in {} has not `{scope}`", identity.namespace_name)),
            Caller::Service(_) => forbidden("this is not for services".to_owned()),
        };
        match (self, &identity.caller) {
            (Self::Open | Self::Known, _)
            | (Self::User, Caller::User { .. })
            | (Self::SiteAdmin, Caller::User { is_site_admin: true, .. }) => Ok(()),
            (Self::User, _) => forbidden("this is for users only; sign in".to_owned()),
            (Self::SiteAdmin, _) => forbidden("this is for administrators of the installation only".to_owned()),
            (Self::ScopeOrService(_, service), Caller::Service(own)) if service == *own => Ok(()),
            (Self::Scope(scope) | Self::ScopeOrService(scope, _), _) => {
                if identity.scopes.has(scope) {
                    Ok(())
                } else {
                    needs(scope)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(caller: Caller, scopes: Scopes) -> Identity {
        Identity {
            caller,
            name: "n".into(),
            namespace: 1,
            namespace_name: "default".into(),
            scopes,
            queues: vec!["mail".into()],
            expires_at: None,
        }
    }

    #[test]
    fn scopes_are_sets() {
        let some: Scopes = [Scope::Work, Scope::TasksRead].into_iter().collect();
        assert_eq!(Scopes::from_bits(some.bits()), some);
        assert!(some.has(Scope::Work) && !some.has(Scope::Admin));
        assert!(Role::Editor.scopes().has_all(some) && !some.has_all(Role::Editor.scopes()));
        assert_eq!(format!("{some:?}"), r#"{"tasks:read", "work"}"#);
        for scope in Scope::ALL {
            assert_eq!(Scope::parse("scopes", scope.as_str()).unwrap(), scope);
        }
        assert!(Scope::parse("scopes", "root").is_err());
    }

    #[test]
    fn roles_grow() {
        for pair in Role::ALL.windows(2) {
            assert!(pair[1].scopes().has_all(pair[0].scopes()) && pair[0].scopes() != pair[1].scopes());
        }
        assert!(Role::ALL.into_iter().all(|role| Role::from_number(role.number()) == Some(role)));
    }

    #[test]
    fn nobody_gets_more_than_they_have() {
        let code = |access: Access, who: Option<&Identity>| access.check(who).err().map(|error| error.code);
        let key = identity(Caller::Key { id: Uuid::nil() }, Role::Viewer.scopes());
        let user = |is_site_admin| {
            let caller = Caller::User { id: Uuid::nil(), sign_in: Uuid::nil(), is_site_admin };
            identity(caller, Role::Admin.scopes())
        };
        let worker = identity(Caller::Service(Service::Worker), Scopes::default());
        let (read, work) = (Access::Scope(Scope::TasksRead), Access::ScopeOrService(Scope::Work, Service::Worker));
        for access in [Access::Known, Access::User, Access::SiteAdmin, read, work] {
            assert_eq!(code(access, None), Some(ErrorCode::Unauthenticated), "{access:?}");
        }
        assert_eq!(code(Access::Open, None), None);
        assert_eq!(code(read, Some(&key)), None);
        for access in [Access::Scope(Scope::TasksWrite), work, Access::User, Access::SiteAdmin] {
            assert_eq!(code(access, Some(&key)), Some(ErrorCode::Forbidden), "{access:?}");
        }
        assert_eq!(code(Access::SiteAdmin, Some(&user(false))), Some(ErrorCode::Forbidden));
        assert_eq!(code(Access::SiteAdmin, Some(&user(true))), None);
        assert_eq!(code(work, Some(&worker)), None);
        assert_eq!(code(read, Some(&worker)), Some(ErrorCode::Forbidden));
        let operators = Access::ScopeOrService(Scope::TasksRead, Service::Operator);
        assert_eq!(code(operators, Some(&worker)), Some(ErrorCode::Forbidden));
    }

    #[test]
    fn a_key_keeps_to_its_queues() {
        let key = identity(Caller::Key { id: Uuid::nil() }, Scopes::ALL);
        assert!(key.check_queue("mail").is_ok());
        assert_eq!(key.check_queue("other").unwrap_err().code, ErrorCode::Forbidden);
        assert!(Identity { queues: Vec::new(), ..key }.may_touch("other"));
    }
}
