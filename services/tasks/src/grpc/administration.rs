//! AdminService.

use taskyard_core::{Error, Result, limits};
use taskyard_proto::{
    convert::{read_uuid, timestamp_to_proto},
    status::to_status,
    v1::{
        AuditEntry, ListAllNamespacesRequest, ListAllNamespacesResponse, ListAuditEntriesRequest,
        ListAuditEntriesResponse, ListUsersRequest, ListUsersResponse, NamespaceOverview, Quota,
        SetNamespaceQuotaRequest, SetNamespaceQuotaResponse, SetUserAdminRequest, SetUserAdminResponse,
        SetUserDisabledRequest, SetUserDisabledResponse, UserOverview, admin_service_server::AdminService,
    },
};
use taskyard_runtime::identity::caller;
use tonic::{Request, Response, Status};

use super::{Api, PAGE_SIZE_DEFAULT};
use crate::store::administration;

#[tonic::async_trait]
impl AdminService for Api {
    async fn list_all_namespaces(
        &self,
        request: Request<ListAllNamespacesRequest>,
    ) -> Result<Response<ListAllNamespacesResponse>, Status> {
        let page = async {
            let admin = caller(&request)?;
            let ListAllNamespacesRequest { page_size, page_token, name } = request.get_ref();
            self.app.all_namespaces(&admin, name, size(*page_size)?, page_token).await
        };
        let (found, next_page_token) = page.await.map_err(to_status)?;
        let namespaces = found.into_iter().map(overview_to_proto).collect();
        Ok(Response::new(ListAllNamespacesResponse { namespaces, next_page_token }))
    }

    async fn set_namespace_quota(
        &self,
        request: Request<SetNamespaceQuotaRequest>,
    ) -> Result<Response<SetNamespaceQuotaResponse>, Status> {
        let set = async {
            let admin = caller(&request)?;
            let SetNamespaceQuotaRequest { name, quota } = request.get_ref();
            self.app.set_quota(&admin, name, read_quota(quota.unwrap_or_default())?).await
        };
        set.await.map_err(to_status)?;
        Ok(Response::new(SetNamespaceQuotaResponse {}))
    }

    async fn list_users(&self, request: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        let page = async {
            let admin = caller(&request)?;
            let ListUsersRequest { page_size, page_token, email } = request.get_ref();
            self.app.all_users(&admin, email, size(*page_size)?, page_token).await
        };
        let (found, next_page_token) = page.await.map_err(to_status)?;
        let users = found.into_iter().map(|user| UserOverview {
            id: user.id.to_string(),
            email: user.email,
            name: user.name,
            is_site_admin: user.is_admin,
            is_disabled: user.is_disabled,
            created_time: Some(timestamp_to_proto(user.created_at)),
            last_seen_time: user.last_seen_at.map(timestamp_to_proto),
        });
        Ok(Response::new(ListUsersResponse { users: users.collect(), next_page_token }))
    }

    async fn set_user_disabled(
        &self,
        request: Request<SetUserDisabledRequest>,
    ) -> Result<Response<SetUserDisabledResponse>, Status> {
        let set = async {
            let admin = caller(&request)?;
            let SetUserDisabledRequest { user_id, disabled } = request.get_ref();
            self.app.set_user_disabled(&admin, read_uuid("user_id", user_id)?, *disabled).await
        };
        set.await.map_err(to_status)?;
        Ok(Response::new(SetUserDisabledResponse {}))
    }

    async fn set_user_admin(
        &self,
        request: Request<SetUserAdminRequest>,
    ) -> Result<Response<SetUserAdminResponse>, Status> {
        let set = async {
            let admin = caller(&request)?;
            let SetUserAdminRequest { user_id, is_site_admin } = request.get_ref();
            self.app.set_user_admin(&admin, read_uuid("user_id", user_id)?, *is_site_admin).await
        };
        set.await.map_err(to_status)?;
        Ok(Response::new(SetUserAdminResponse {}))
    }

    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let page = async {
            let admin = caller(&request)?;
            let size = size(request.get_ref().page_size)?;
            self.app.audit(&admin, size, &request.get_ref().page_token).await
        };
        let (found, next_page_token) = page.await.map_err(to_status)?;
        let entries = found.into_iter().map(|entry| AuditEntry {
            number: entry.number.cast_unsigned(),
            time: Some(timestamp_to_proto(entry.at)),
            email: entry.email,
            action: entry.action,
            subject: entry.subject,
            detail: entry.detail,
        });
        Ok(Response::new(ListAuditEntriesResponse { entries: entries.collect(), next_page_token }))
    }
}

fn size(given: u32) -> Result<u32> {
    limits::check_page_size(given, PAGE_SIZE_DEFAULT, limits::PAGE_SIZE_MAX)
}

fn read_quota(quota: Quota) -> Result<administration::Quota> {
    let number = |field: &str, given: Option<u64>| {
        given.map(i64::try_from).transpose().map_err(|_| Error::invalid(field, "is too large"))
    };
    let queues_max = quota.queues_max.filter(|max| *max > limits::QUEUES_MAX);
    if let Some(max) = queues_max {
        let message = format!("is {max}; at most {} are allowed", limits::QUEUES_MAX);
        return Err(Error::invalid("quota.queues_max", message));
    }
    Ok(administration::Quota {
        active_tasks_max: number("quota.active_tasks_max", quota.active_tasks_max)?,
        payload_bytes_max: number("quota.payload_bytes_max", quota.payload_bytes_max)?,
        queues_max: quota.queues_max.map(u32::cast_signed),
    })
}

fn overview_to_proto(found: administration::Overview) -> NamespaceOverview {
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    NamespaceOverview {
        name: found.name,
        is_personal: found.is_personal,
        owner: found.owner.unwrap_or_default(),
        members: count(found.members),
        queues: count(found.queues),
        active_tasks: count(found.active_tasks),
        created_time: Some(timestamp_to_proto(found.created_at)),
        deleting_since: found.deleting_since.map(timestamp_to_proto),
        quota: Some(Quota {
            active_tasks_max: found.active_tasks_max.map(count),
            payload_bytes_max: found.payload_bytes_max.map(count),
            queues_max: found.queues_max.map(i32::cast_unsigned),
        }),
    }
}
