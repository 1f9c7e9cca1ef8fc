//! What administrators of the installation see and set across namespaces; all of it stands in the audit log.

use taskyard_core::Result;
use taskyard_proto::v1;

use super::Client;

impl Client {
    /// One page of all users, or the one of an address.
    ///
    /// # Errors
    /// If the caller is no administrator.
    pub async fn list_users(&self, request: v1::ListUsersRequest) -> Result<v1::ListUsersResponse> {
        self.send(request, async |pod, request| pod.admin().list_users(request).await).await
    }

    /// Lets a user in or not any more.
    ///
    /// # Errors
    /// If the caller is no administrator, or it is themselves.
    pub async fn set_user_disabled(&self, user_id: String, disabled: bool) -> Result<()> {
        let request = v1::SetUserDisabledRequest { user_id, disabled };
        self.send(request, async |pod, request| pod.admin().set_user_disabled(request).await).await.map(drop)
    }

    /// Makes a user an administrator of the installation, or none.
    ///
    /// # Errors
    /// If the caller is no administrator, or it is themselves.
    pub async fn set_user_admin(&self, user_id: String, is_site_admin: bool) -> Result<()> {
        let request = v1::SetUserAdminRequest { user_id, is_site_admin };
        self.send(request, async |pod, request| pod.admin().set_user_admin(request).await).await.map(drop)
    }

    /// One page of all namespaces, or the one of a name.
    ///
    /// # Errors
    /// If the caller is no administrator.
    pub async fn list_all_namespaces(
        &self,
        request: v1::ListAllNamespacesRequest,
    ) -> Result<v1::ListAllNamespacesResponse> {
        self.send(request, async |pod, request| pod.admin().list_all_namespaces(request).await).await
    }

    /// Sets what a namespace may have.
    ///
    /// # Errors
    /// If the caller is no administrator, or there is no such namespace.
    pub async fn set_namespace_quota(&self, name: String, quota: v1::Quota) -> Result<()> {
        let request = v1::SetNamespaceQuotaRequest { name, quota: Some(quota) };
        self.send(request, async |pod, request| pod.admin().set_namespace_quota(request).await).await.map(drop)
    }

    /// One page of what administrators did, newest first.
    ///
    /// # Errors
    /// If the caller is no administrator.
    pub async fn list_audit_entries(
        &self,
        request: v1::ListAuditEntriesRequest,
    ) -> Result<v1::ListAuditEntriesResponse> {
        self.send(request, async |pod, request| pod.admin().list_audit_entries(request).await).await
    }
}
