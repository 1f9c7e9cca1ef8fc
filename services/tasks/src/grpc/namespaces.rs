//! NamespaceService.

use taskyard_core::{Error, Result, identity, limits};
use taskyard_proto::{
    convert::{read_uuid, timestamp_to_proto},
    status::to_status,
    v1::{
        AcceptInvitationRequest, AcceptInvitationResponse, CreateInvitationRequest, CreateInvitationResponse,
        CreateNamespaceRequest, CreateNamespaceResponse, DeleteInvitationRequest, DeleteInvitationResponse,
        DeleteNamespaceRequest, DeleteNamespaceResponse, GetNamespaceRequest, GetNamespaceResponse, Invitation,
        ListInvitationsRequest, ListInvitationsResponse, ListMembersRequest, ListMembersResponse,
        ListNamespacesRequest, ListNamespacesResponse, Member, Namespace, RemoveMemberRequest, RemoveMemberResponse,
        Role, SetMemberRoleRequest, SetMemberRoleResponse, TransferNamespaceRequest, TransferNamespaceResponse,
        namespace_service_server::NamespaceService,
    },
};
use tonic::{Request, Response, Status};

use super::{Api, PAGE_SIZE_DEFAULT, users::user_of};
use crate::store::namespaces;

#[tonic::async_trait]
impl NamespaceService for Api {
    async fn create_namespace(
        &self,
        request: Request<CreateNamespaceRequest>,
    ) -> Result<Response<CreateNamespaceResponse>, Status> {
        let made = async { self.app.create_namespace(user_of(&request)?.0, &request.get_ref().name).await };
        let namespace = Some(to_proto(made.await.map_err(to_status)?));
        Ok(Response::new(CreateNamespaceResponse { namespace }))
    }

    async fn list_namespaces(
        &self,
        request: Request<ListNamespacesRequest>,
    ) -> Result<Response<ListNamespacesResponse>, Status> {
        let page = async {
            let (user, _) = user_of(&request)?;
            let request = request.get_ref();
            let size = page_size(request.page_size)?;
            limits::check_text("page_token", &request.page_token, limits::EMAIL_BYTES_MAX)?;
            self.app.namespaces(user, size, &request.page_token).await
        };
        let (found, next_page_token) = page.await.map_err(to_status)?;
        let namespaces = found.into_iter().map(to_proto).collect();
        Ok(Response::new(ListNamespacesResponse { namespaces, next_page_token }))
    }

    async fn get_namespace(
        &self,
        request: Request<GetNamespaceRequest>,
    ) -> Result<Response<GetNamespaceResponse>, Status> {
        let found = async {
            let namespace = self.app.namespace(user_of(&request)?.0, &request.get_ref().name).await?;
            let tasks_left = match namespace.deleting_since {
                Some(_) => self.app.tasks_left(&namespace).await?,
                None => 0,
            };
            Ok(Namespace { tasks_left, ..to_proto(namespace) })
        };
        Ok(Response::new(GetNamespaceResponse { namespace: Some(found.await.map_err(to_status)?) }))
    }

    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<ListMembersResponse>, Status> {
        let page = async {
            let (user, _) = user_of(&request)?;
            let request = request.get_ref();
            let size = page_size(request.page_size)?;
            limits::check_text("page_token", &request.page_token, limits::EMAIL_BYTES_MAX)?;
            self.app.members(user, &request.namespace, size, &request.page_token).await
        };
        let (found, next_page_token) = page.await.map_err(to_status)?;
        let members = found.into_iter().map(member_to_proto).collect();
        Ok(Response::new(ListMembersResponse { members, next_page_token }))
    }

    async fn set_member_role(
        &self,
        request: Request<SetMemberRoleRequest>,
    ) -> Result<Response<SetMemberRoleResponse>, Status> {
        let changed = async {
            let (user, _) = user_of(&request)?;
            let request = request.get_ref();
            let (member, role) = (read_uuid("user_id", &request.user_id)?, read_role(request.role)?);
            self.app.set_role(user, &request.namespace, member, role).await
        };
        let member = Some(member_to_proto(changed.await.map_err(to_status)?));
        Ok(Response::new(SetMemberRoleResponse { member }))
    }

    async fn remove_member(
        &self,
        request: Request<RemoveMemberRequest>,
    ) -> Result<Response<RemoveMemberResponse>, Status> {
        let removed = async {
            let (user, _) = user_of(&request)?;
            let request = request.get_ref();
            self.app.remove_member(user, &request.namespace, read_uuid("user_id", &request.user_id)?).await
        };
        removed.await.map_err(to_status)?;
        Ok(Response::new(RemoveMemberResponse {}))
    }

    async fn create_invitation(
        &self,
        request: Request<CreateInvitationRequest>,
    ) -> Result<Response<CreateInvitationResponse>, Status> {
        let made = async {
            let (user, _) = user_of(&request)?;
            let request = request.get_ref();
            self.app.invite(user, &request.namespace, &request.email, read_role(request.role)?).await
        };
        let (invitation, secret) = made.await.map_err(to_status)?;
        let invitation = Some(invitation_to_proto(invitation));
        Ok(Response::new(CreateInvitationResponse { invitation, secret }))
    }

    async fn list_invitations(
        &self,
        request: Request<ListInvitationsRequest>,
    ) -> Result<Response<ListInvitationsResponse>, Status> {
        let found = async { self.app.invitations(user_of(&request)?.0, &request.get_ref().namespace).await };
        let invitations = found.await.map_err(to_status)?.into_iter().map(invitation_to_proto).collect();
        Ok(Response::new(ListInvitationsResponse { invitations }))
    }

    async fn delete_invitation(
        &self,
        request: Request<DeleteInvitationRequest>,
    ) -> Result<Response<DeleteInvitationResponse>, Status> {
        let deleted = async {
            let (user, _) = user_of(&request)?;
            let request = request.get_ref();
            self.app.delete_invitation(user, &request.namespace, read_uuid("id", &request.id)?).await
        };
        deleted.await.map_err(to_status)?;
        Ok(Response::new(DeleteInvitationResponse {}))
    }

    async fn accept_invitation(
        &self,
        request: Request<AcceptInvitationRequest>,
    ) -> Result<Response<AcceptInvitationResponse>, Status> {
        let accepted = async { self.app.accept_invitation(user_of(&request)?.0, &request.get_ref().secret).await };
        let namespace = Some(to_proto(accepted.await.map_err(to_status)?));
        Ok(Response::new(AcceptInvitationResponse { namespace }))
    }

    async fn transfer_namespace(
        &self,
        request: Request<TransferNamespaceRequest>,
    ) -> Result<Response<TransferNamespaceResponse>, Status> {
        let transferred = async {
            let (user, _) = user_of(&request)?;
            let request = request.get_ref();
            self.app.transfer(user, &request.name, read_uuid("user_id", &request.user_id)?).await
        };
        let namespace = Some(to_proto(transferred.await.map_err(to_status)?));
        Ok(Response::new(TransferNamespaceResponse { namespace }))
    }

    async fn delete_namespace(
        &self,
        request: Request<DeleteNamespaceRequest>,
    ) -> Result<Response<DeleteNamespaceResponse>, Status> {
        let begun = async {
            let namespace = self.app.delete_namespace(user_of(&request)?.0, &request.get_ref().name).await?;
            let tasks_left = self.app.tasks_left(&namespace).await?;
            Ok(Namespace { tasks_left, ..to_proto(namespace) })
        };
        Ok(Response::new(DeleteNamespaceResponse { namespace: Some(begun.await.map_err(to_status)?) }))
    }
}

fn page_size(size: u32) -> Result<u32> {
    limits::check_page_size(size, PAGE_SIZE_DEFAULT, limits::PAGE_SIZE_MAX)
}

fn read_role(role: i32) -> Result<identity::Role> {
    let number = i16::try_from(role).ok();
    number
        .and_then(identity::Role::from_number)
        .ok_or_else(|| Error::invalid("role", "must be viewer, editor or admin"))
}

fn role_to_proto(number: i16) -> i32 {
    match identity::Role::from_number(number) {
        Some(identity::Role::Viewer) => Role::Viewer,
        Some(identity::Role::Editor) => Role::Editor,
        Some(identity::Role::Admin) => Role::Admin,
        None => Role::Unspecified,
    }
    .into()
}

fn to_proto(namespace: namespaces::Namespace) -> Namespace {
    Namespace {
        name: namespace.name,
        is_personal: namespace.is_personal,
        role: role_to_proto(namespace.role),
        is_owner: namespace.is_owner,
        created_time: Some(timestamp_to_proto(namespace.created_at)),
        deleting_since: namespace.deleting_since.map(timestamp_to_proto),
        tasks_left: 0,
    }
}

fn member_to_proto(member: namespaces::Member) -> Member {
    Member {
        user_id: member.user.to_string(),
        email: member.email,
        name: member.name,
        role: role_to_proto(member.role),
        is_owner: member.is_owner,
        since: Some(timestamp_to_proto(member.since)),
    }
}

fn invitation_to_proto(invitation: namespaces::Invitation) -> Invitation {
    Invitation {
        id: invitation.id.to_string(),
        email: invitation.email,
        role: role_to_proto(invitation.role),
        created_time: Some(timestamp_to_proto(invitation.created_at)),
        expires_time: Some(timestamp_to_proto(invitation.expires_at)),
    }
}
