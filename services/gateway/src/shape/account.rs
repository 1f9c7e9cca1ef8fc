//! Users, sign-ins, namespaces and keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskyard_core::{Error, Result};
use taskyard_proto::v1::{self, who_am_i_response::Caller};

use super::time::{Time, millis, time};

/// A user.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct User {
    id: String,
    email: String,
    name: String,
    is_site_admin: bool,
    created_at: Option<Time>,
}

impl TryFrom<v1::User> for User {
    type Error = Error;

    fn try_from(user: v1::User) -> Result<Self> {
        Ok(Self {
            id: user.id,
            email: user.email,
            name: user.name,
            is_site_admin: user.is_site_admin,
            created_at: time(user.created_time)?,
        })
    }
}

/// What a sign-in gives, with the names of OAuth 2.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tokens {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    refresh_token: String,
    namespace: String,
}

impl TryFrom<v1::Tokens> for Tokens {
    type Error = Error;

    fn try_from(tokens: v1::Tokens) -> Result<Self> {
        Ok(Self {
            access_token: tokens.access_token,
            token_type: "Bearer",
            expires_in: millis(tokens.expires_in)?.unwrap_or_default() / 1_000,
            refresh_token: tokens.refresh_token,
            namespace: tokens.namespace,
        })
    }
}

/// A user who has signed in.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SignedIn {
    user: User,
    #[serde(flatten)]
    tokens: Tokens,
}

impl SignedIn {
    pub(crate) fn new(user: v1::User, tokens: v1::Tokens) -> Result<Self> {
        Ok(Self { user: user.try_into()?, tokens: tokens.try_into()? })
    }
}

/// One time that somebody signed in.
#[derive(Debug, Serialize, JsonSchema)]
struct SignIn {
    id: String,
    agent: String,
    created_at: Option<Time>,
    refreshed_at: Option<Time>,
    expires_at: Option<Time>,
    is_present: bool,
}

/// Sign-ins that have not ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SignIns {
    sign_ins: Vec<SignIn>,
}

impl TryFrom<v1::ListSignInsResponse> for SignIns {
    type Error = Error;

    fn try_from(answer: v1::ListSignInsResponse) -> Result<Self> {
        let sign_ins = answer.sign_ins.into_iter().map(|sign_in| {
            Ok(SignIn {
                id: sign_in.id,
                agent: sign_in.agent,
                created_at: time(sign_in.created_time)?,
                refreshed_at: time(sign_in.refreshed_time)?,
                expires_at: time(sign_in.expires_time)?,
                is_present: sign_in.is_present,
            })
        });
        Ok(Self { sign_ins: sign_ins.collect::<Result<_>>()? })
    }
}

/// The caller.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Me {
    kind: &'static str,
    name: String,
    user: Option<User>,
    key_id: Option<String>,
    namespace: String,
    scopes: Vec<String>,
    queues: Vec<String>,
    expires_at: Option<Time>,
}

impl TryFrom<v1::WhoAmIResponse> for Me {
    type Error = Error;

    fn try_from(answer: v1::WhoAmIResponse) -> Result<Self> {
        let (kind, user, key_id) = match answer.caller {
            Some(Caller::User(user)) => ("user", Some(User::try_from(user)?), None),
            Some(Caller::KeyId(id)) => ("key", None, Some(id)),
            Some(Caller::Service(_)) => ("service", None, None),
            None => return Err(Error::internal("the tasks service names no caller")),
        };
        Ok(Self {
            kind,
            name: answer.name,
            user,
            key_id,
            namespace: answer.namespace,
            scopes: answer.scopes,
            queues: answer.queues,
            expires_at: time(answer.expires_time)?,
        })
    }
}

/// What a member may do.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Viewer,
    Editor,
    Admin,
}

impl Role {
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::Viewer => v1::Role::Viewer,
            Self::Editor => v1::Role::Editor,
            Self::Admin => v1::Role::Admin,
        }
        .into()
    }

    fn from_number(number: i32) -> Result<Self> {
        match v1::Role::try_from(number) {
            Ok(v1::Role::Viewer) => Ok(Self::Viewer),
            Ok(v1::Role::Editor) => Ok(Self::Editor),
            Ok(v1::Role::Admin) => Ok(Self::Admin),
            Ok(v1::Role::Unspecified) | Err(_) => Err(Error::internal(format!("{number} is not a role"))),
        }
    }
}

/// A namespace.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Namespace {
    name: String,
    is_personal: bool,
    role: Role,
    is_owner: bool,
    created_at: Option<Time>,
    deleting_since: Option<Time>,
    tasks_left: Option<u64>,
}

impl TryFrom<v1::Namespace> for Namespace {
    type Error = Error;

    fn try_from(namespace: v1::Namespace) -> Result<Self> {
        Ok(Self {
            name: namespace.name,
            is_personal: namespace.is_personal,
            role: Role::from_number(namespace.role)?,
            is_owner: namespace.is_owner,
            created_at: time(namespace.created_time)?,
            deleting_since: time(namespace.deleting_since)?,
            tasks_left: namespace.deleting_since.map(|_| namespace.tasks_left),
        })
    }
}

/// One page of namespaces.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Namespaces {
    namespaces: Vec<Namespace>,
    next_page_token: Option<String>,
}

impl TryFrom<v1::ListNamespacesResponse> for Namespaces {
    type Error = Error;

    fn try_from(page: v1::ListNamespacesResponse) -> Result<Self> {
        Ok(Self {
            namespaces: page.namespaces.into_iter().map(Namespace::try_from).collect::<Result<_>>()?,
            next_page_token: Some(page.next_page_token).filter(|token| !token.is_empty()),
        })
    }
}

/// A member of a namespace.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Member {
    user_id: String,
    email: String,
    name: String,
    role: Role,
    is_owner: bool,
    since: Option<Time>,
}

impl TryFrom<v1::Member> for Member {
    type Error = Error;

    fn try_from(member: v1::Member) -> Result<Self> {
        Ok(Self {
            user_id: member.user_id,
            email: member.email,
            name: member.name,
            role: Role::from_number(member.role)?,
            is_owner: member.is_owner,
            since: time(member.since)?,
        })
    }
}

/// One page of members.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Members {
    members: Vec<Member>,
    next_page_token: Option<String>,
}

impl TryFrom<v1::ListMembersResponse> for Members {
    type Error = Error;

    fn try_from(page: v1::ListMembersResponse) -> Result<Self> {
        Ok(Self {
            members: page.members.into_iter().map(Member::try_from).collect::<Result<_>>()?,
            next_page_token: Some(page.next_page_token).filter(|token| !token.is_empty()),
        })
    }
}

/// An invitation.
#[derive(Debug, Serialize, JsonSchema)]
struct Invitation {
    id: String,
    email: String,
    role: Role,
    created_at: Option<Time>,
    expires_at: Option<Time>,
}

impl TryFrom<v1::Invitation> for Invitation {
    type Error = Error;

    fn try_from(invitation: v1::Invitation) -> Result<Self> {
        Ok(Self {
            id: invitation.id,
            email: invitation.email,
            role: Role::from_number(invitation.role)?,
            created_at: time(invitation.created_time)?,
            expires_at: time(invitation.expires_time)?,
        })
    }
}

/// Open invitations.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Invitations {
    invitations: Vec<Invitation>,
}

impl TryFrom<v1::ListInvitationsResponse> for Invitations {
    type Error = Error;

    fn try_from(answer: v1::ListInvitationsResponse) -> Result<Self> {
        let invitations = answer.invitations.into_iter().map(Invitation::try_from).collect::<Result<_>>()?;
        Ok(Self { invitations })
    }
}

/// A new invitation, with the secret that is not shown again.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InvitationSecret {
    #[serde(flatten)]
    invitation: Invitation,
    secret: String,
}

impl TryFrom<v1::CreateInvitationResponse> for InvitationSecret {
    type Error = Error;

    fn try_from(answer: v1::CreateInvitationResponse) -> Result<Self> {
        let invitation =
            answer.invitation.ok_or_else(|| Error::internal("the tasks service left out an invitation"))?;
        Ok(Self { invitation: invitation.try_into()?, secret: answer.secret })
    }
}

/// A key, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Key {
    id: String,
    name: String,
    scopes: Vec<String>,
    queues: Vec<String>,
    creator: String,
    created_at: Option<Time>,
    expires_at: Option<Time>,
    last_used_at: Option<Time>,
    revoked_at: Option<Time>,
}

impl TryFrom<v1::Key> for Key {
    type Error = Error;

    fn try_from(key: v1::Key) -> Result<Self> {
        Ok(Self {
            id: key.id,
            name: key.name,
            scopes: key.scopes,
            queues: key.queues,
            creator: key.creator,
            created_at: time(key.created_time)?,
            expires_at: time(key.expires_time)?,
            last_used_at: time(key.last_used_time)?,
            revoked_at: time(key.revoked_time)?,
        })
    }
}

/// One page of keys.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Keys {
    keys: Vec<Key>,
    next_page_token: Option<String>,
}

impl TryFrom<v1::ListKeysResponse> for Keys {
    type Error = Error;

    fn try_from(page: v1::ListKeysResponse) -> Result<Self> {
        Ok(Self {
            keys: page.keys.into_iter().map(Key::try_from).collect::<Result<_>>()?,
            next_page_token: Some(page.next_page_token).filter(|token| !token.is_empty()),
        })
    }
}

/// A new key, with the secret that is not shown again.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct KeySecret {
    #[serde(flatten)]
    key: Key,
    secret: String,
}

impl TryFrom<v1::CreateKeyResponse> for KeySecret {
    type Error = Error;

    fn try_from(answer: v1::CreateKeyResponse) -> Result<Self> {
        let key = answer.key.ok_or_else(|| Error::internal("the tasks service left out a key"))?;
        Ok(Self { key: key.try_into()?, secret: answer.secret })
    }
}
