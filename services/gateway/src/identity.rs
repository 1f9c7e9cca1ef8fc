//! Who calls, as the tasks service knows it.

use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderValue, header::AUTHORIZATION};
use taskyard_client::Pods;
use taskyard_core::{
    Error, ErrorCode, Identity, Result,
    identity::{Caller, Scope, Scopes, Service},
};
use taskyard_proto::{
    convert::{read_uuid, timestamp},
    v1::{self, who_am_i_response},
};
use taskyard_runtime::identity::Ask;
use tokio::time::Instant;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the tasks service.
#[derive(Clone, Debug)]
pub(crate) struct AskTasks(pub(crate) Pods);

impl Ask for AskTasks {
    fn identify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Identity>> {
        Box::pin(async move {
            let header = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| Error::new(ErrorCode::Unauthenticated, "the token holds what no token holds"))?;
            let answer = self.0.call(Instant::now() + TIMEOUT, |pod| {
                let header = header.clone();
                async move {
                    let mut request = tonic::Request::new(v1::WhoAmIRequest {});
                    if let Ok(header) = header.as_bytes().try_into() {
                        request.metadata_mut().insert(AUTHORIZATION.as_str(), header);
                    }
                    pod.users().who_am_i(request).await
                }
            });
            read(answer.await?)
        })
    }

    fn revision(&self) -> BoxFuture<'_, Result<i64>> {
        Box::pin(async move {
            let deadline = Instant::now() + TIMEOUT;
            let answer = self.0.call(deadline, async |pod| pod.users().get_revision(v1::GetRevisionRequest {}).await);
            Ok(answer.await?.revision)
        })
    }
}

fn read(answer: v1::WhoAmIResponse) -> Result<Identity> {
    let caller = match answer.caller {
        Some(who_am_i_response::Caller::User(user)) => Caller::User {
            id: read_uuid("user.id", &user.id).map_err(Error::internal)?,
            sign_in: read_uuid("sign_in_id", &answer.sign_in_id).map_err(Error::internal)?,
            is_site_admin: user.is_site_admin,
        },
        Some(who_am_i_response::Caller::KeyId(id)) => {
            Caller::Key { id: read_uuid("key_id", &id).map_err(Error::internal)? }
        }
        Some(who_am_i_response::Caller::Service(name)) if name == "worker" => Caller::Service(Service::Worker),
        Some(who_am_i_response::Caller::Service(name)) if name == "operator" => Caller::Service(Service::Operator),
        _ => return Err(Error::internal("the tasks service names a caller of a kind that is not known here")),
    };
    // A scope that this version does not know gives no right here.
    let scopes: Scopes = answer.scopes.iter().filter_map(|scope| Scope::parse("scopes", scope).ok()).collect();
    let expires_at = answer.expires_time.map(|time| timestamp("expires_time", time)).transpose();
    Ok(Identity {
        caller,
        name: answer.name,
        namespace: answer.namespace_number,
        namespace_name: answer.namespace,
        scopes,
        queues: answer.queues,
        expires_at: expires_at.map_err(Error::internal)?,
    })
}
