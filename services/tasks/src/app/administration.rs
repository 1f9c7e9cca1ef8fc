//! What administrators of the installation do across namespaces; all of it is written down.

use taskyard_core::{Error, ErrorCode, Identity, Result, identity::Caller, limits};
use taskyard_postgres::failure;
use taskyard_runtime::identity::Concerns;
use uuid::Uuid;

use super::App;
use crate::{
    fault::{self, FaultPoint},
    store::administration::{self, Entry, NewEntry, Overview, Quota, UserOverview},
};

/// Tasks of a namespace are counted up to this.
const COUNT_MAX: i64 = 100_000;

impl App {
    /// All namespaces, by name, and where the next page begins.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn all_namespaces(&self, admin: &Identity, size: u32, token: &str) -> Result<(Vec<Overview>, String)> {
        self.note(admin, "namespaces.list", "", "").await?;
        let mut found = administration::namespace_list_all(&self.pool, token, COUNT_MAX, i64::from(size) + 1)
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

    /// All users, by address, and where the next page begins.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn all_users(&self, admin: &Identity, size: u32, token: &str) -> Result<(Vec<UserOverview>, String)> {
        self.note(admin, "users.list", "", "").await?;
        let mut found =
            administration::user_list(&self.pool, token, i64::from(size) + 1).await.map_err(failure::to_error)?;
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
        let revision = revision.map_err(failure::to_error)?;
        fault::reach(FaultPoint::CommandCommitted);
        if let Some(revision) = revision {
            // Keys of theirs, too.
            self.changes.tell(revision, Concerns::Everybody).await;
        }
        Ok(())
    }

    /// What administrators did, newest first, and where the next page begins.
    ///
    /// # Errors
    /// If the token is not one of a page.
    pub async fn audit(&self, size: u32, token: &str) -> Result<(Vec<Entry>, String)> {
        let before = match token {
            "" => None,
            token => Some(token.parse().map_err(|_| Error::invalid("page_token", "is not one of a page before"))?),
        };
        let mut found =
            administration::audit_list(&self.pool, before, i64::from(size) + 1).await.map_err(failure::to_error)?;
        let more = found.len() > size as usize;
        found.truncate(size as usize);
        let next = found.last().filter(|_| more).map(|entry| entry.number.to_string()).unwrap_or_default();
        Ok((found, next))
    }

    async fn note(&self, admin: &Identity, action: &str, subject: &str, detail: &str) -> Result<()> {
        let entry = entry(admin, action, subject, detail)?;
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

fn detail_of(quota: Quota) -> String {
    let named = [
        ("active tasks", quota.active_tasks_max),
        ("bytes of payload", quota.payload_bytes_max),
        ("queues", quota.queues_max.map(i64::from)),
    ];
    let set: Vec<_> = named.iter().filter_map(|(what, max)| Some(format!("{} {what}", (*max)?))).collect();
    if set.is_empty() { "none of its own".to_owned() } else { set.join(", ") }
}
