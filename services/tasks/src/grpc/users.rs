//! UserService.

use taskyard_core::{
    Error, Identity, Result,
    identity::{Caller, Scope, Service},
};
use taskyard_proto::{
    convert::{duration_to_proto, read_uuid, timestamp_to_proto},
    status::to_status,
    v1::{
        ChangePasswordRequest, ChangePasswordResponse, GetKeySetRequest, GetKeySetResponse, GetRevisionRequest,
        GetRevisionResponse, ListSignInsRequest, ListSignInsResponse, RefreshTokensRequest, RefreshTokensResponse,
        RegisterRequest, RegisterResponse, SignIn, SignInRequest, SignInResponse, SignOutEverywhereRequest,
        SignOutEverywhereResponse, SignOutRequest, SignOutResponse, Tokens, UpdateUserRequest, UpdateUserResponse,
        User, WhoAmIRequest, WhoAmIResponse, user_service_server::UserService, who_am_i_response,
    },
};
use taskyard_runtime::identity::{Ask, bearer, caller};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Api;
use crate::{
    app::users::{self, Registration},
    identity::ACCESS_TOKEN_LIFE,
    store,
};

#[tonic::async_trait]
impl UserService for Api {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterResponse>, Status> {
        let RegisterRequest { email, password, name, namespace } = request.into_inner();
        let registered = self.app.register(Registration { email, password, name, namespace }).await;
        let (user, tokens) = registered.map_err(to_status)?;
        let (user, tokens) = (Some(user_to_proto(user)), Some(tokens_to_proto(tokens)));
        Ok(Response::new(RegisterResponse { user, tokens }))
    }

    async fn sign_in(&self, request: Request<SignInRequest>) -> Result<Response<SignInResponse>, Status> {
        let SignInRequest { email, password, namespace, agent, id_token } = request.into_inner();
        let signed_in = match (id_token.as_str(), email.is_empty() && password.is_empty()) {
            ("", _) => self.app.sign_in(&email, password, &namespace, &agent).await,
            (token, true) => self.app.sign_in_vouched(token, &namespace, &agent).await,
            _ => {
                Err(Error::invalid("id_token", "stands in the place of e-mail address and password; give one of both"))
            }
        };
        let (user, tokens) = signed_in.map_err(to_status)?;
        let (user, tokens) = (Some(user_to_proto(user)), Some(tokens_to_proto(tokens)));
        Ok(Response::new(SignInResponse { user, tokens }))
    }

    async fn refresh_tokens(
        &self,
        request: Request<RefreshTokensRequest>,
    ) -> Result<Response<RefreshTokensResponse>, Status> {
        let request = request.into_inner();
        let tokens = self.app.refresh(&request.refresh_token, &request.namespace).await.map_err(to_status)?;
        Ok(Response::new(RefreshTokensResponse { tokens: Some(tokens_to_proto(tokens)) }))
    }

    async fn sign_out(&self, request: Request<SignOutRequest>) -> Result<Response<SignOutResponse>, Status> {
        let done = async {
            let (user, present) = user_of(&request)?;
            let sign_in = match request.get_ref().id.as_str() {
                "" => present,
                id => read_uuid("id", id)?,
            };
            self.app.sign_out(user, Some(sign_in)).await
        };
        done.await.map_err(to_status)?;
        Ok(Response::new(SignOutResponse {}))
    }

    async fn sign_out_everywhere(
        &self,
        request: Request<SignOutEverywhereRequest>,
    ) -> Result<Response<SignOutEverywhereResponse>, Status> {
        let (user, _) = user_of(&request).map_err(to_status)?;
        let ended = self.app.sign_out(user, None).await.map_err(to_status)?;
        Ok(Response::new(SignOutEverywhereResponse { ended }))
    }

    async fn list_sign_ins(
        &self,
        request: Request<ListSignInsRequest>,
    ) -> Result<Response<ListSignInsResponse>, Status> {
        let (user, present) = user_of(&request).map_err(to_status)?;
        let found = self.app.sign_ins(user).await.map_err(to_status)?;
        let sign_ins = found.into_iter().map(|sign_in| SignIn {
            id: sign_in.id.to_string(),
            agent: sign_in.agent,
            created_time: Some(timestamp_to_proto(sign_in.created_at)),
            refreshed_time: Some(timestamp_to_proto(sign_in.refreshed_at)),
            expires_time: Some(timestamp_to_proto(sign_in.expires_at)),
            is_present: sign_in.id == present,
        });
        Ok(Response::new(ListSignInsResponse { sign_ins: sign_ins.collect() }))
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Result<Response<ChangePasswordResponse>, Status> {
        let (user, present) = user_of(&request).map_err(to_status)?;
        let ChangePasswordRequest { old_password, new_password } = request.into_inner();
        self.app.change_password(user, present, old_password, new_password).await.map_err(to_status)?;
        Ok(Response::new(ChangePasswordResponse {}))
    }

    async fn update_user(&self, request: Request<UpdateUserRequest>) -> Result<Response<UpdateUserResponse>, Status> {
        let (user, _) = user_of(&request).map_err(to_status)?;
        let user = self.app.rename_user(user, &request.get_ref().name).await.map_err(to_status)?;
        Ok(Response::new(UpdateUserResponse { user: Some(user_to_proto(user)) }))
    }

    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Result<Response<WhoAmIResponse>, Status> {
        // Asked anew and not remembered here: whoever asks remembers the answer, and might have heard of more than this pod.
        let answer = async {
            let identity = self.app.verifier.identify(bearer(request.metadata().as_ref())?).await?;
            self.describe(&identity).await
        };
        answer.await.map(Response::new).map_err(to_status)
    }

    async fn get_revision(&self, _: Request<GetRevisionRequest>) -> Result<Response<GetRevisionResponse>, Status> {
        let revision = self.app.verifier.revision().await.map_err(to_status)?;
        Ok(Response::new(GetRevisionResponse { revision }))
    }

    async fn get_key_set(&self, _: Request<GetKeySetRequest>) -> Result<Response<GetKeySetResponse>, Status> {
        let jwks_json = self.app.verifier.signer.key_set().await.map_err(to_status)?;
        Ok(Response::new(GetKeySetResponse { jwks_json }))
    }
}

impl Api {
    async fn describe(&self, identity: &Identity) -> Result<WhoAmIResponse> {
        let mut sign_in_id = String::new();
        let who = match &identity.caller {
            Caller::User { id, sign_in, .. } => {
                sign_in_id = sign_in.to_string();
                who_am_i_response::Caller::User(user_to_proto(self.app.user(*id).await?))
            }
            Caller::Key { id } => who_am_i_response::Caller::KeyId(id.to_string()),
            Caller::Service(service) => who_am_i_response::Caller::Service(
                match service {
                    Service::Worker => "worker",
                    Service::Operator => "operator",
                }
                .to_owned(),
            ),
        };
        Ok(WhoAmIResponse {
            caller: Some(who),
            name: identity.name.clone(),
            namespace: identity.namespace_name.clone(),
            namespace_number: identity.namespace,
            scopes: identity.scopes.iter().map(Scope::as_str).map(str::to_owned).collect(),
            queues: identity.queues.clone(),
            expires_time: identity.expires_at.map(timestamp_to_proto),
            sign_in_id,
        })
    }
}

/// The calling user and their sign-in.
pub(super) fn user_of<T>(request: &Request<T>) -> Result<(Uuid, Uuid)> {
    match caller(request)?.caller {
        Caller::User { id, sign_in, .. } => Ok((id, sign_in)),
        _ => Err(Error::internal("a caller who is no user came through")),
    }
}

fn user_to_proto(user: store::users::User) -> User {
    User {
        id: user.id.to_string(),
        email: user.email,
        name: user.name,
        is_site_admin: user.is_admin,
        created_time: Some(timestamp_to_proto(user.created_at)),
    }
}

fn tokens_to_proto(tokens: users::Tokens) -> Tokens {
    Tokens {
        access_token: tokens.access,
        expires_in: Some(duration_to_proto(ACCESS_TOKEN_LIFE)),
        refresh_token: tokens.refresh,
        namespace: tokens.namespace,
    }
}
