//! Signing in, namespaces and keys.

use taskyard_core::Result;
use taskyard_proto::v1;

use super::Client;

impl Client {
    /// Signs in. `agent` says what it is, for the list of sign-ins; an empty namespace is the user's own.
    ///
    /// # Errors
    /// If address and password do not belong together, or the user is not a member of the namespace.
    pub async fn sign_in(
        &self,
        email: &str,
        password: &str,
        namespace: &str,
        agent: &str,
    ) -> Result<v1::SignInResponse> {
        let request = v1::SignInRequest {
            email: email.to_owned(),
            password: password.to_owned(),
            namespace: namespace.to_owned(),
            agent: agent.to_owned(),
            id_token: String::new(),
        };
        self.send(request, async |pod, request| pod.users().sign_in(request).await).await
    }

    /// Signs in by the id token of an OpenID Connect issuer that the server trusts.
    ///
    /// # Errors
    /// If the token is not good, or the user is not a member of the namespace.
    pub async fn sign_in_by_id_token(
        &self,
        id_token: &str,
        namespace: &str,
        agent: &str,
    ) -> Result<v1::SignInResponse> {
        let request = v1::SignInRequest {
            id_token: id_token.to_owned(),
            namespace: namespace.to_owned(),
            agent: agent.to_owned(),
            ..v1::SignInRequest::default()
        };
        self.send(request, async |pod, request| pod.users().sign_in(request).await).await
    }

    /// The next pair of tokens, for a namespace.
    ///
    /// # Errors
    /// If the refresh token is not valid any more.
    pub async fn refresh_tokens(&self, refresh_token: &str, namespace: &str) -> Result<v1::Tokens> {
        let request =
            v1::RefreshTokensRequest { refresh_token: refresh_token.to_owned(), namespace: namespace.to_owned() };
        let answer = self.send(request, async |pod, request| pod.users().refresh_tokens(request).await).await?;
        Ok(answer.tokens.unwrap_or_default())
    }

    /// Ends the sign-in whose token is shown.
    ///
    /// # Errors
    /// If it has ended already.
    pub async fn sign_out(&self) -> Result<()> {
        let request = v1::SignOutRequest::default();
        self.send(request, async |pod, request| pod.users().sign_out(request).await).await.map(drop)
    }

    /// Who the caller is.
    ///
    /// # Errors
    /// If the token or key is not valid.
    pub async fn who_am_i(&self) -> Result<v1::WhoAmIResponse> {
        self.send(v1::WhoAmIRequest {}, async |pod, request| pod.users().who_am_i(request).await).await
    }

    /// Makes a key for the caller's namespace.
    ///
    /// # Errors
    /// If something is wrong, or the caller has not all of its rights.
    pub async fn create_key(&self, request: v1::CreateKeyRequest) -> Result<v1::CreateKeyResponse> {
        self.send(request, async |pod, request| pod.keys().create_key(request).await).await
    }

    /// One page of the namespace's keys.
    ///
    /// # Errors
    /// If the caller is no admin.
    pub async fn list_keys(&self, request: v1::ListKeysRequest) -> Result<v1::ListKeysResponse> {
        self.send(request, async |pod, request| pod.keys().list_keys(request).await).await
    }

    /// Ends a key.
    ///
    /// # Errors
    /// If there is none.
    pub async fn revoke_key(&self, id: String) -> Result<v1::Key> {
        let request = v1::RevokeKeyRequest { id };
        let answer = self.send(request, async |pod, request| pod.keys().revoke_key(request).await).await?;
        Ok(answer.key.unwrap_or_default())
    }

    /// One page of the caller's namespaces.
    ///
    /// # Errors
    /// If the caller is no user.
    pub async fn list_namespaces(&self, request: v1::ListNamespacesRequest) -> Result<v1::ListNamespacesResponse> {
        self.send(request, async |pod, request| pod.namespaces().list_namespaces(request).await).await
    }

    /// Makes a shared namespace.
    ///
    /// # Errors
    /// If the name is wrong or taken.
    pub async fn create_namespace(&self, name: String) -> Result<v1::Namespace> {
        let request = v1::CreateNamespaceRequest { name };
        let answer = self.send(request, async |pod, request| pod.namespaces().create_namespace(request).await).await?;
        Ok(answer.namespace.unwrap_or_default())
    }

    /// A namespace, as a member sees it.
    ///
    /// # Errors
    /// If the caller is not a member.
    pub async fn get_namespace(&self, name: String) -> Result<v1::Namespace> {
        let request = v1::GetNamespaceRequest { name };
        let answer = self.send(request, async |pod, request| pod.namespaces().get_namespace(request).await).await?;
        Ok(answer.namespace.unwrap_or_default())
    }

    /// One page of a namespace's members.
    ///
    /// # Errors
    /// If the caller is not a member.
    pub async fn list_members(&self, request: v1::ListMembersRequest) -> Result<v1::ListMembersResponse> {
        self.send(request, async |pod, request| pod.namespaces().list_members(request).await).await
    }

    /// Gives a member another role.
    ///
    /// # Errors
    /// If the caller is no admin, or it is the owner.
    pub async fn set_member_role(&self, request: v1::SetMemberRoleRequest) -> Result<v1::Member> {
        let answer = self.send(request, async |pod, request| pod.namespaces().set_member_role(request).await).await?;
        Ok(answer.member.unwrap_or_default())
    }

    /// Takes a member out.
    ///
    /// # Errors
    /// If the caller is neither admin nor that member, or it is the owner.
    pub async fn remove_member(&self, namespace: String, user_id: String) -> Result<()> {
        let request = v1::RemoveMemberRequest { namespace, user_id };
        self.send(request, async |pod, request| pod.namespaces().remove_member(request).await).await.map(drop)
    }

    /// Invites somebody; the answer holds a secret that is not shown again.
    ///
    /// # Errors
    /// If the caller is no admin, or something is wrong.
    pub async fn create_invitation(
        &self,
        request: v1::CreateInvitationRequest,
    ) -> Result<v1::CreateInvitationResponse> {
        self.send(request, async |pod, request| pod.namespaces().create_invitation(request).await).await
    }

    /// The open invitations of a namespace.
    ///
    /// # Errors
    /// If the caller is no admin.
    pub async fn list_invitations(&self, namespace: String) -> Result<v1::ListInvitationsResponse> {
        let request = v1::ListInvitationsRequest { namespace };
        self.send(request, async |pod, request| pod.namespaces().list_invitations(request).await).await
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// If the caller is no admin.
    pub async fn delete_invitation(&self, namespace: String, id: String) -> Result<()> {
        let request = v1::DeleteInvitationRequest { namespace, id };
        self.send(request, async |pod, request| pod.namespaces().delete_invitation(request).await).await.map(drop)
    }

    /// Makes the caller a member.
    ///
    /// # Errors
    /// If the secret is of no open invitation.
    pub async fn accept_invitation(&self, secret: String) -> Result<v1::Namespace> {
        let request = v1::AcceptInvitationRequest { secret };
        let answer = self.send(request, async |pod, request| pod.namespaces().accept_invitation(request).await).await?;
        Ok(answer.namespace.unwrap_or_default())
    }

    /// Makes another member the owner.
    ///
    /// # Errors
    /// If the caller is not the owner, or the other one no member.
    pub async fn transfer_namespace(&self, name: String, user_id: String) -> Result<v1::Namespace> {
        let request = v1::TransferNamespaceRequest { name, user_id };
        let answer =
            self.send(request, async |pod, request| pod.namespaces().transfer_namespace(request).await).await?;
        Ok(answer.namespace.unwrap_or_default())
    }

    /// Begins to delete a namespace with everything in it.
    ///
    /// # Errors
    /// If the caller is not the owner.
    pub async fn delete_namespace(&self, name: String) -> Result<v1::Namespace> {
        let request = v1::DeleteNamespaceRequest { name };
        let answer = self.send(request, async |pod, request| pod.namespaces().delete_namespace(request).await).await?;
        Ok(answer.namespace.unwrap_or_default())
    }
}
