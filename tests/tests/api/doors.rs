//! Who is let in, and what any gRPC tool finds: the token, health, reflection.

use anyhow::Result;
use taskyard_core::ErrorCode;
use taskyard_proto::v1::{
    ListTasksRequest, task_service_client::TaskServiceClient, work_service_client::WorkServiceClient,
};
use taskyard_testkit::eventually;
use taskyard_tests::{KEY, SOON, Setup, Stack, WORKER_KEY, read};
use tokio_stream::StreamExt;
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::expect::refused;

/// Waits until health says that a service is there: it follows the pod's readiness a moment later.
async fn until_serving(channel: &Channel, service: &str) -> Result<()> {
    eventually(SOON, format!("{service:?} serves"), async || {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(channel.clone()).check(request).await.ok()?.into_inner();
        (answer.status() == ServingStatus::Serving).then_some(())
    })
    .await
}

/// The services that reflection names.
async fn services(channel: Channel, token: Option<&str>) -> Result<Vec<String>, Status> {
    let mut client = ServerReflectionClient::with_interceptor(channel, |mut request: Request<()>| {
        if let Some(token) = token {
            let bearer = MetadataValue::try_from(format!("Bearer {token}")).expect("a header");
            request.metadata_mut().insert("authorization", bearer);
        }
        Ok(request)
    });
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { host: String::new(), message_request };
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await?.into_inner();
    match answers.next().await.transpose()?.and_then(|answer| answer.message_response) {
        Some(MessageResponse::ListServicesResponse(list)) => {
            Ok(list.service.into_iter().map(|service| service.name).collect())
        }
        other => Err(Status::unknown(format!("{other:?}"))),
    }
}

#[tokio::test]
async fn health_and_reflection_answer() -> Result<()> {
    let setup = Setup::open().await?;
    let channel = Endpoint::from_shared(setup.pod.url())?.connect().await?;
    for service in [
        "",
        "taskyard.v1.TaskService",
        "taskyard.v1.UserService",
        "taskyard.v1.QueueService",
        "taskyard.v1.ScheduleService",
        "taskyard.v1.WorkService",
    ] {
        until_serving(&channel, service).await?;
    }
    let named = services(channel, Some(KEY)).await?;
    for service in [
        "taskyard.v1.TaskService",
        "taskyard.v1.QueueService",
        "taskyard.v1.ScheduleService",
        "taskyard.v1.WorkService",
    ] {
        assert!(named.iter().any(|name| name == service), "{named:?}");
    }
    setup.close().await
}

#[tokio::test]
async fn only_who_shows_a_key_is_let_in_and_health_is_open() -> Result<()> {
    let stack = Stack::shared().await?;
    let pod = stack.pod().await?;
    let channel = Endpoint::from_shared(pod.url())?.connect().await?;
    until_serving(&channel, "").await?;

    let list = async |header: Option<&str>| {
        let mut request = Request::new(ListTasksRequest::default());
        if let Some(header) = header {
            request.metadata_mut().insert("authorization", header.parse().expect("a header"));
        }
        read(TaskServiceClient::new(channel.clone()).list_tasks(request).await)
    };
    for header in [
        None,
        Some("Bearer tyk_another-key-000000000000000000000000000000000"),
        Some("Bearer tys_another-key-000000000000000000000000000000000"),
        Some("Bearer nothing.of.ours"),
        Some("Bearer x"),
        Some(KEY),
        Some("Basic tyk_of-all-tests"),
    ] {
        assert_eq!(refused(list(header).await), ErrorCode::Unauthenticated, "{header:?}");
    }
    assert!(list(Some(&format!("Bearer {KEY}"))).await.is_ok());
    let work = WorkServiceClient::new(channel.clone()).work(tokio_stream::empty()).await;
    assert_eq!(work.expect_err("it is refused").code(), tonic::Code::Unauthenticated);
    assert_eq!(services(channel.clone(), None).await.expect_err("it is refused").code(), tonic::Code::Unauthenticated);
    assert!(!services(channel, Some(KEY)).await?.is_empty());
    pod.stop().await?;
    stack.close().await
}

#[tokio::test]
async fn a_configuration_that_makes_no_sense_is_refused_before_anything_starts() -> Result<()> {
    let stack = Stack::shared().await?;
    let refused = async |flags: &[(&str, &str)]| match stack.pod_with(flags).await {
        Ok(_) => panic!("it starts with {flags:?}"),
        Err(error) => format!("{error:#}"),
    };
    // All that is wrong is named at once.
    let wrong = [
        ("--worker-key", "short"),
        ("--operator-key", "tys_short"),
        ("--prefix", "No spaces"),
        ("--session-timeout-s", "4"),
        ("--retention-days", "14"),
        ("--dead-retention-days", "13"),
    ];
    let error = refused(&wrong).await;
    for name in ["WORKER_KEY", "OPERATOR_KEY", "PREFIX", "SESSION_TIMEOUT_S", "RETENTION_DAYS", "DEAD_RETENTION_DAYS"] {
        assert!(error.contains(&format!("TASKYARD_{name}")), "{name}: {error}");
    }
    // One key cannot say which of two services shows it.
    let error = refused(&[("--operator-key", WORKER_KEY)]).await;
    assert!(error.contains("TASKYARD_OPERATOR_KEY holds the key of another service"), "{error}");
    stack.close().await
}
