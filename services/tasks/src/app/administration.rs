//! What administrators of the installation do across namespaces; all of it is written down.

use taskyard_core::{Error, ErrorCode, Identity, Result, identity::Caller, limits};
use taskyard_postgres::failure;
use taskyard_runtime::identity::Concerns;
use uuid::Uuid;

use super::{App, users::read_email};
use crate::{
    fault::{self, FaultPoint},
    store::administration::{self, Entry, NewEntry, Overview, Quota, UserOverview},
};

/// Tasks of a namespace are counted up to this.
const COUNT_MAX: i64 = 100_000;

impl App {
    /// All namespaces, by name, and where the next page begins; or the one of a name.
    ///
    /// # Errors
    /// If the name cannot be one, or the database cannot be reached.
    pub async fn all_namespaces(
        &self,
        admin: &Identity,
        name: &str,
        size: u32,
        token: &str,
    ) -> Result<(Vec<Overview>, String)> {
        let one = Some(name).filter(|name| !name.is_empty());
        one.map_or(Ok(()), |name| limits::check_namespace_name("name", name))?;
        self.note(admin, "namespaces.list", name).await?;
        let mut found = administration::namespace_list_all(&self.pool, token, one, COUNT_MAX, i64::from(size) + 1)
            .await
            .map_err(failure::to_error)?;
        let more = found.len() > size as usize;
        found.truncate(size as usize);
        let next = found.last().filter(|_| more).map(|namespace| namespace.name.clone()).unwrap_or_default();
        Ok((found, next))
    }

    /// Sets what a namespace may have. Pods go by it within seconds.
    ///
    /// # Errors
    /// If there is no such namespace.
    pub async fn set_quota(&self, admin: &Identity, namespace: &str, quota: Quota) -> Result<()> {
        let detail = detail_of(quota);
        let entry = entry(admin, "namespace.quota", namespace, &detail)?;
        let set = administration::quota_set(&self.pool, namespace, quota, &entry).await.map_err(failure::to_error)?;
        if !set {
            let name = limits::shorten(namespace, 100);
            return Err(Error::new(ErrorCode::NamespaceNotFound, format!("there is no namespace `{name}`")));
        }
        fault::reach(FaultPoint::CommandCommitted);
        Ok(())
    }

    /// All users, by address, and where the next page begins; or the one of an address.
    ///
    /// # Errors
    /// If what is given cannot be an address, or the database cannot be reached.
    pub async fn all_users(
        &self,
        admin: &Identity,
        email: &str,
        size: u32,
        token: &str,
    ) -> Result<(Vec<UserOverview>, String)> {
        let one = if email.is_empty() { None } else { Some(read_email("email", email)?) };
        self.note(admin, "users.list", one.as_deref().unwrap_or_default()).await?;
        let mut found = administration::user_list(&self.pool, token, one.as_deref(), i64::from(size) + 1)
            .await
            .map_err(failure::to_error)?;
        let more = found.len() > size as usize;
        found.truncate(size as usize);
        let next = found.last().filter(|_| more).map(|user| user.email.clone()).unwrap_or_default();
        Ok((found, next))
    }

    /// Lets a user in or not any more.
    ///
    /// # Errors
    /// If there is no such user, or it is the administrator.
    pub async fn set_user_disabled(&self, admin: &Identity, user: Uuid, disabled: bool) -> Result<()> {
        let found = self.user(user).await?;
        let action = if disabled { "user.disable" } else { "user.enable" };
        let entry = entry(admin, action, &found.email, "")?;
        if entry.user == user {
            return Err(Error::new(ErrorCode::Forbidden, "administrators cannot shut themselves out"));
        }
        let revision = administration::user_set_disabled(&self.pool, user, disabled, &entry).await;
        let revision = revision.map_err(failure::to_error)?.ok_or_else(no_administrator)?;
        fault::reach(FaultPoint::CommandCommitted);
        // Keys of theirs, too.
        self.changes.tell(revision, Concerns::Everybody).await;
        Ok(())
    }

    /// Makes a user an administrator of the installation, or none.
    ///
    /// # Errors
    /// If there is no such user, it is the administrator, or that one is none any more.
    pub async fn set_user_admin(&self, admin: &Identity, user: Uuid, is_admin: bool) -> Result<()> {
        let found = self.user(user).await?;
        let action = if is_admin { "user.make_admin" } else { "user.unmake_admin" };
        let entry = entry(admin, action, &found.email, "")?;
        if entry.user == user {
            let message = "administrators cannot change this of themselves; another one can";
            return Err(Error::new(ErrorCode::Forbidden, message));
        }
        let revision = administration::user_set_admin(&self.pool, user, is_admin, &entry).await;
        let revision = revision.map_err(failure::to_error)?.ok_or_else(no_administrator)?;
        fault::reach(FaultPoint::CommandCommitted);
        self.changes.tell(revision, Concerns::User(user)).await;
        Ok(())
    }

    /// What administrators did, newest first, and where the next page begins. That it was read is the newest of it.
    ///
    /// # Errors
    /// If the token is not one of a page.
    pub async fn audit(&self, admin: &Identity, size: u32, token: &str) -> Result<(Vec<Entry>, String)> {
        let before = match token {
            "" => None,
            token => Some(token.parse().map_err(|_| Error::invalid("page_token", "is not one of a page before"))?),
        };
        self.note(admin, "audit.list", "").await?;
        let mut found =
            administration::audit_list(&self.pool, before, i64::from(size) + 1).await.map_err(failure::to_error)?;
        let more = found.len() > size as usize;
        found.truncate(size as usize);
        let next = found.last().filter(|_| more).map(|entry| entry.number.to_string()).unwrap_or_default();
        Ok((found, next))
    }

    /// What is looked at is written down before it is shown.
    async fn note(&self, admin: &Identity, action: &str, subject: &str) -> Result<()> {
        let entry = entry(admin, action, subject, "")?;
        administration::audit_add(&self.pool, &entry).await.map_err(failure::to_error)?;
        fault::reach(FaultPoint::CommandCommitted);
        Ok(())
    }
}

fn entry<'a>(admin: &'a Identity, action: &'a str, subject: &'a str, detail: &'a str) -> Result<NewEntry<'a>> {
    let Caller::User { id: user, .. } = admin.caller else {
        return Err(Error::internal("a caller that is no user is let in as an administrator"));
    };
    Ok(NewEntry { user, email: &admin.name, action, subject, detail })
}

fn no_administrator() -> Error {
    Error::new(ErrorCode::Forbidden, "you are no administrator of the installation any more")
}

fn detail_of(quota: Quota) -> String {
    let named = [
        ("active tasks", quota.active_tasks_max),
        ("bytes of payload", quota.payload_bytes_max),
        ("queues", quota.queues_max.map(i64::from)),
    ];
    let set: Vec<_> = named.iter().filter_map(|(what, max)| Some(format!("{} {what}", (*max)?))).collect();
    if set.is_empty() { "none of its own".to_owned() } else { set.join(", ") }
}
