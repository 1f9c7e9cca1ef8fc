//! Namespaces, their members, and how one becomes a member.

use chrono::{TimeDelta, Utc};
use taskyard_core::{Error, ErrorCode, Result, identity::Role, limits};
use taskyard_postgres::failure;
use taskyard_runtime::identity::Concerns;
use uuid::Uuid;

use super::{App, users::read_email};
use crate::{
    fault::{self, FaultPoint},
    identity::{Kind, NewSecret},
    store::namespaces::{self, Invitation, Member, Namespace, NamespaceCreated, NewInvitation},
};

/// Tasks of a namespace that is deleted are counted up to this.
const COUNT_MAX: i64 = 100_000;

impl App {
    /// Makes a shared namespace.
    ///
    /// # Errors
    /// If the name is wrong or taken, or the user owns as many as they may.
    pub async fn create_namespace(&self, owner: Uuid, name: &str) -> Result<Namespace> {
        limits::check_namespace_name("name", name)?;
        let created = namespaces::namespace_create(&self.pool, name, owner, limits::NAMESPACES_MAX.into()).await;
        match created.map_err(failure::to_error)? {
            NamespaceCreated::New => {}
            NamespaceCreated::Taken => {
                return Err(Error::new(ErrorCode::NameTaken, format!("the namespace `{name}` is taken")));
            }
            NamespaceCreated::TooMany => {
                let message = format!("you own {} shared namespaces, as many as one may", limits::NAMESPACES_MAX);
                return Err(Error::new(ErrorCode::Exhausted, message));
            }
        }
        fault::reach(FaultPoint::CommandCommitted);
        self.namespace(owner, name).await
    }

    /// A namespace, as a member sees it.
    ///
    /// # Errors
    /// If the user is not a member.
    pub async fn namespace(&self, member: Uuid, name: &str) -> Result<Namespace> {
        let found =
            namespaces::namespace_list(&self.pool, member, "", Some(name), 1).await.map_err(failure::to_error)?;
        found.into_iter().next().ok_or_else(|| {
            let name = limits::shorten(name, 100);
            Error::new(ErrorCode::NamespaceNotFound, format!("you are not a member of a namespace `{name}`"))
        })
    }

    /// A user's namespaces, by name, and where the next page begins.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn namespaces(&self, member: Uuid, size: u32, token: &str) -> Result<(Vec<Namespace>, String)> {
        let mut found = namespaces::namespace_list(&self.pool, member, token, None, i64::from(size) + 1)
            .await
            .map_err(failure::to_error)?;
        let more = found.len() > size as usize;
        found.truncate(size as usize);
        let next = found.last().filter(|_| more).map(|namespace| namespace.name.clone()).unwrap_or_default();
        Ok((found, next))
    }

    /// The tasks that a namespace still has, counted up to 100,000.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn tasks_left(&self, namespace: &Namespace) -> Result<u64> {
        let count = namespaces::namespace_count_tasks(&self.pool, namespace.id, COUNT_MAX).await;
        Ok(u64::try_from(count.map_err(failure::to_error)?).unwrap_or(0))
    }

    /// Members of a namespace, by address, and where the next page begins.
    ///
    /// # Errors
    /// If the caller is not a member.
    pub async fn members(&self, caller: Uuid, name: &str, size: u32, token: &str) -> Result<(Vec<Member>, String)> {
        let namespace = self.namespace(caller, name).await?;
        let mut found = namespaces::member_list(&self.pool, namespace.id, token, None, i64::from(size) + 1)
            .await
            .map_err(failure::to_error)?;
        let more = found.len() > size as usize;
        found.truncate(size as usize);
        let next = found.last().filter(|_| more).map(|member| member.email.clone()).unwrap_or_default();
        Ok((found, next))
    }

    /// Gives a member another role.
    ///
    /// # Errors
    /// If the caller is no admin, or it is the owner.
    pub async fn set_role(&self, caller: Uuid, name: &str, user: Uuid, role: Role) -> Result<Member> {
        let namespace = self.administered(caller, name).await?;
        let revision =
            namespaces::member_set_role(&self.pool, namespace.id, user, role).await.map_err(failure::to_error)?;
        let revision = match revision {
            Some(revision) => revision,
            None => return Err(self.not_changed(&namespace, user).await?),
        };
        fault::reach(FaultPoint::CommandCommitted);
        self.changes.tell(revision, Concerns::User(user)).await;
        self.member(&namespace, user).await
    }

    /// Takes a member out; everybody may leave.
    ///
    /// # Errors
    /// If the caller is neither admin nor the member, or it is the owner.
    pub async fn remove_member(&self, caller: Uuid, name: &str, user: Uuid) -> Result<()> {
        let namespace = match caller == user {
            true => self.namespace(caller, name).await?,
            false => self.administered(caller, name).await?,
        };
        let revision = namespaces::member_remove(&self.pool, namespace.id, user).await.map_err(failure::to_error)?;
        let revision = match revision {
            Some(revision) => revision,
            None => return Err(self.not_changed(&namespace, user).await?),
        };
        fault::reach(FaultPoint::CommandCommitted);
        self.changes.tell(revision, Concerns::User(user)).await;
        Ok(())
    }

    /// Invites somebody. The secret is shown here and never again.
    ///
    /// # Errors
    /// If the caller is no admin, the namespace is somebody's own, or something is wrong.
    pub async fn invite(&self, caller: Uuid, name: &str, email: &str, role: Role) -> Result<(Invitation, String)> {
        let namespace = self.administered(caller, name).await?;
        if namespace.is_personal {
            let message = "this namespace is somebody's own and is not shared; make another one to share";
            return Err(Error::new(ErrorCode::Forbidden, message));
        }
        let email = read_email("email", email)?;
        let secret = NewSecret::make(Kind::Invitation).map_err(|error| Error::internal(error.to_string()))?;
        let life = TimeDelta::from_std(limits::INVITATION_LIFE).unwrap_or_default();
        let new = NewInvitation {
            id: Uuid::now_v7(),
            namespace: namespace.id,
            email: &email,
            role,
            secret_hash: &secret.hash,
            invited_by: caller,
            expires_at: Utc::now() + life,
        };
        let made = namespaces::invitation_create(&self.pool, &new, limits::INVITATIONS_MAX.into()).await;
        let made = made.map_err(failure::to_error)?.ok_or_else(|| {
            let message = format!("{} invitations are open, as many as may be", limits::INVITATIONS_MAX);
            Error::new(ErrorCode::Exhausted, message)
        })?;
        fault::reach(FaultPoint::CommandCommitted);
        Ok((made, secret.text))
    }

    /// Open invitations of a namespace, by address.
    ///
    /// # Errors
    /// If the caller is no admin.
    pub async fn invitations(&self, caller: Uuid, name: &str) -> Result<Vec<Invitation>> {
        let namespace = self.administered(caller, name).await?;
        let most = i64::from(limits::INVITATIONS_MAX);
        namespaces::invitation_list(&self.pool, namespace.id, most).await.map_err(failure::to_error)
    }

    /// Takes an invitation back. One that is gone is gone.
    ///
    /// # Errors
    /// If the caller is no admin.
    pub async fn delete_invitation(&self, caller: Uuid, name: &str, id: Uuid) -> Result<()> {
        let namespace = self.administered(caller, name).await?;
        namespaces::invitation_delete(&self.pool, namespace.id, id).await.map_err(failure::to_error)?;
        fault::reach(FaultPoint::CommandCommitted);
        Ok(())
    }

    /// Makes the caller a member.
    ///
    /// # Errors
    /// If the secret is of no open invitation.
    pub async fn accept_invitation(&self, caller: Uuid, secret: &str) -> Result<Namespace> {
        let unknown = || {
            let message = "there is no such invitation, or it was accepted, taken back or has expired";
            Error::new(ErrorCode::UserNotFound, message)
        };
        let hash = Kind::Invitation.hash(secret).ok_or_else(unknown)?;
        let name = namespaces::invitation_accept(&self.pool, &hash, caller).await.map_err(failure::to_error)?;
        let name = name.ok_or_else(unknown)?;
        fault::reach(FaultPoint::CommandCommitted);
        self.namespace(caller, &name).await
    }

    /// Makes another member the owner.
    ///
    /// # Errors
    /// If the caller is not the owner, the other one no member, or the namespace somebody's own.
    pub async fn transfer(&self, caller: Uuid, name: &str, to: Uuid) -> Result<Namespace> {
        let namespace = self.owned(caller, name).await?;
        self.member(&namespace, to).await?;
        let done = namespaces::namespace_set_owner(&self.pool, namespace.id, caller, to).await;
        if !done.map_err(failure::to_error)? {
            return Err(Error::unavailable("the namespace changed meanwhile; look again"));
        }
        fault::reach(FaultPoint::CommandCommitted);
        self.namespace(caller, name).await
    }

    /// Begins to delete a namespace: nobody gets in any more.
    ///
    /// # Errors
    /// If the caller is not the owner, or the namespace is somebody's own.
    pub async fn delete_namespace(&self, caller: Uuid, name: &str) -> Result<Namespace> {
        let namespace = self.owned(caller, name).await?;
        let revision = namespaces::namespace_begin_deletion(&self.pool, namespace.id, caller).await;
        let revision = revision.map_err(failure::to_error)?;
        let revision = revision.ok_or_else(|| Error::unavailable("the namespace changed meanwhile; look again"))?;
        fault::reach(FaultPoint::CommandCommitted);
        self.changes.tell(revision, Concerns::Namespace(namespace.id)).await;
        self.namespace(caller, name).await
    }

    async fn member(&self, namespace: &Namespace, user: Uuid) -> Result<Member> {
        let found =
            namespaces::member_list(&self.pool, namespace.id, "", Some(user), 1).await.map_err(failure::to_error)?;
        let none = || Error::new(ErrorCode::UserNotFound, format!("that is no member of `{}`", namespace.name));
        found.into_iter().next().ok_or_else(none)
    }

    /// Why nothing was changed.
    async fn not_changed(&self, namespace: &Namespace, user: Uuid) -> Result<Error> {
        let member = self.member(namespace, user).await?;
        Ok(if member.is_owner {
            Error::new(ErrorCode::Forbidden, "the owner stays, and stays admin; transfer the namespace first")
        } else {
            Error::unavailable("the members changed meanwhile; look again")
        })
    }

    async fn administered(&self, caller: Uuid, name: &str) -> Result<Namespace> {
        let namespace = self.namespace(caller, name).await?;
        if namespace.role != Role::Admin.number() {
            return Err(Error::new(ErrorCode::Forbidden, format!("you are not an admin of `{name}`")));
        }
        Ok(namespace)
    }

    async fn owned(&self, caller: Uuid, name: &str) -> Result<Namespace> {
        let namespace = self.namespace(caller, name).await?;
        if !namespace.is_owner {
            return Err(Error::new(ErrorCode::Forbidden, format!("you do not own `{name}`")));
        }
        if namespace.is_personal {
            return Err(Error::new(ErrorCode::Forbidden, "your own namespace stays yours"));
        }
        Ok(namespace)
    }
}
