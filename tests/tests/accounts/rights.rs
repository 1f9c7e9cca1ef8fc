//! Every method of every service, by the descriptors: without a token, and with one that has not the right.

use anyhow::Result;
use http::uri::PathAndQuery;
use prost::Message;
use prost_types::FileDescriptorSet;
use taskyard_core::identity::{Access, Scope};
use taskyard_proto::{DESCRIPTORS, access::access, v1};
use tonic::{Code, Request, transport::Channel};

use crate::setup::{Accounts, shown};

/// An empty message to any method, as a stream of one.
async fn call(channel: &Channel, path: &str, token: Option<&str>) -> Code {
    let mut client = tonic::client::Grpc::new(channel.clone());
    if client.ready().await.is_err() {
        return Code::Unavailable;
    }
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = PathAndQuery::try_from(path).unwrap();
    let message = tokio_stream::once(());
    let request = match token {
        Some(token) => shown(token, message),
        None => Request::new(message),
    };
    match client.streaming(request, path, codec).await {
        Ok(answer) => match answer.into_inner().message().await {
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        },
        Err(status) => status.code(),
    }
}

#[tokio::test]
async fn every_method_asks_for_its_right() -> Result<()> {
    let accounts = Accounts::open().await?;
    let ada = accounts.register("ada@example.com").await?;
    let mut keys = Vec::new();
    for scope in Scope::ALL {
        keys.push((scope, accounts.key(&ada.access, &[scope.as_str()], &[]).await?.1));
    }
    let set = FileDescriptorSet::decode(DESCRIPTORS)?;
    let services = set.file.iter().filter(|file| file.package() == "taskyard.v1").flat_map(|file| &file.service);
    let mut checked = 0;
    for service in services {
        for method in &service.method {
            let path = format!("/taskyard.v1.{}/{}", service.name(), method.name());
            let needed = access(&path).expect("in the table");
            let without = call(&accounts.channel, &path, None).await;
            // What is open may still refuse what it is told: a password, a refresh token.
            if needed != Access::Open {
                assert_eq!(without, Code::Unauthenticated, "{path}");
            }
            for (scope, key) in &keys {
                let may = match needed {
                    Access::Open | Access::Known => true,
                    Access::User | Access::SiteAdmin => false,
                    Access::Scope(needed) | Access::ScopeOrService(needed, _) => needed == *scope,
                };
                let with = call(&accounts.channel, &path, Some(key)).await;
                assert_eq!(with != Code::PermissionDenied, may, "{path} with {scope}: {with:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "{checked}");
    accounts.close().await
}

/// Whatever names an object of another namespace is answered as if it were not there.
#[tokio::test]
async fn anothers_objects_are_not_there() -> Result<()> {
    let accounts = Accounts::open().await?;
    let (ada, eve) = (accounts.register("ada@example.com").await?, accounts.register("eve@example.com").await?);
    let id = accounts.create(&ada.access, taskyard_tests::manual()).await?.id;
    let mut tasks = accounts.tasks();
    let token = eve.access.as_str();
    let codes = [
        tasks.get_task(shown(token, v1::GetTaskRequest { id: id.clone() })).await.map(drop),
        tasks
            .update_task(shown(
                token,
                v1::UpdateTaskRequest {
                    id: id.clone(),
                    task: Some(v1::TaskUpdate { title: "x".into(), ..v1::TaskUpdate::default() }),
                    update_mask: Some(prost_types::FieldMask { paths: vec!["title".into()] }),
                    version: 0,
                },
            ))
            .await
            .map(drop),
        tasks.delete_task(shown(token, v1::DeleteTaskRequest { id: id.clone(), version: 0 })).await.map(drop),
        tasks
            .complete_task(shown(token, v1::CompleteTaskRequest { id: id.clone(), ..Default::default() }))
            .await
            .map(drop),
        tasks.cancel_task(shown(token, v1::CancelTaskRequest { id: id.clone(), ..Default::default() })).await.map(drop),
        tasks.retry_task(shown(token, v1::RetryTaskRequest { id: id.clone(), version: 0 })).await.map(drop),
    ];
    for code in codes {
        assert_eq!(code.expect_err("it is not there").code(), Code::NotFound);
    }
    let events = v1::ListEventsRequest { task_id: id.clone(), ..v1::ListEventsRequest::default() };
    assert!(tasks.list_events(shown(token, events)).await?.into_inner().events.is_empty());
    let all = v1::ListEventsRequest::default();
    assert!(tasks.list_events(shown(token, all)).await?.into_inner().events.is_empty());
    assert!(tasks.list_tasks(shown(token, v1::ListTasksRequest::default())).await?.into_inner().tasks.is_empty());
    assert_eq!(accounts.get(&ada.access, &id).await?.version, 1, "nothing was changed");
    // The same id can be in two namespaces.
    let same = v1::NewTask { id: id.clone(), title: "mine".into(), ..taskyard_tests::manual() };
    assert_eq!(accounts.create(token, same).await?.title, "mine");
    assert_eq!(accounts.get(&ada.access, &id).await?.title, "");
    accounts.close().await
}
