//! KeyService.

use taskyard_core::{Error, ErrorCode, Identity, Result, identity::Scopes, limits};
use taskyard_proto::{
    convert::{read_uuid, timestamp, timestamp_to_proto},
    status::to_status,
    v1::{
        CreateKeyRequest, CreateKeyResponse, Key, ListKeysRequest, ListKeysResponse, RevokeKeyRequest,
        RevokeKeyResponse, key_service_server::KeyService,
    },
};
use taskyard_runtime::identity::caller;
use tonic::{Request, Response, Status};

use super::{Api, PAGE_SIZE_DEFAULT};
use crate::{app::keys::WantedKey, store::keys};

#[tonic::async_trait]
impl KeyService for Api {
    async fn create_key(&self, request: Request<CreateKeyRequest>) -> Result<Response<CreateKeyResponse>, Status> {
        let made = async {
            let caller = caller(&request)?;
            let CreateKeyRequest { name, scopes, queues, expires_time } = request.into_inner();
            let expires_at = expires_time.map(|time| timestamp("expires_time", time)).transpose()?;
            self.app.create_key(&caller, WantedKey { name, scopes, queues, expires_at }).await
        };
        let (key, secret) = made.await.map_err(to_status)?;
        Ok(Response::new(CreateKeyResponse { key: Some(to_proto(key)), secret }))
    }

    async fn list_keys(&self, request: Request<ListKeysRequest>) -> Result<Response<ListKeysResponse>, Status> {
        let page = async {
            let caller = caller(&request)?;
            check(&caller)?;
            let request = request.get_ref();
            let size = limits::check_page_size(request.page_size, PAGE_SIZE_DEFAULT, limits::PAGE_SIZE_MAX)?;
            self.app.keys(caller.namespace, size, &request.page_token).await
        };
        let (keys, next_page_token) = page.await.map_err(to_status)?;
        Ok(Response::new(ListKeysResponse { keys: keys.into_iter().map(to_proto).collect(), next_page_token }))
    }

    async fn revoke_key(&self, request: Request<RevokeKeyRequest>) -> Result<Response<RevokeKeyResponse>, Status> {
        let revoked = async {
            let id = read_uuid("id", &request.get_ref().id)?;
            let caller = caller(&request)?;
            check(&caller)?;
            self.app.revoke_key(caller.namespace, id).await
        };
        Ok(Response::new(RevokeKeyResponse { key: Some(to_proto(revoked.await.map_err(to_status)?)) }))
    }
}

/// Keys are for queues that such a caller shall not know of.
fn check(caller: &Identity) -> Result<()> {
    if caller.queues.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorCode::Forbidden, "a key that is for some queues only sees and ends no keys"))
}

fn to_proto(key: keys::Key) -> Key {
    Key {
        id: key.id.to_string(),
        name: key.name,
        scopes: Scopes::from_bits(key.scopes).iter().map(|scope| scope.as_str().to_owned()).collect(),
        queues: key.queues,
        creator: key.creator,
        created_time: Some(timestamp_to_proto(key.created_at)),
        expires_time: key.expires_at.map(timestamp_to_proto),
        last_used_time: key.last_used_at.map(timestamp_to_proto),
        revoked_time: key.revoked_at.map(timestamp_to_proto),
    }
}
