//! Queues.

use std::time::Duration;

use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::Deserialize;
use taskyard_core::{
    Error, ErrorCode, Result,
    limits::{PAGE_SIZE_MAX, QUEUE_CONCURRENCY_MAX},
};
use taskyard_proto::v1;
use taskyard_redis::Kept;
use taskyard_runtime::http_error::Problem;

use super::{ask::present, tasks::Nothing};
use crate::{
    answers::{Fresh, Reader, Served, name_of},
    app::App,
    read::{Call, JsonBody, OptionalJsonBody, Params, QueueName},
    shape::{Queue, Queues},
};

/// Ages and depths move on by themselves; the leader tells them every few seconds.
const FIGURES_LIFE: Duration = Duration::from_secs(2);

/// `GET /v1/queues`
pub(super) async fn list(
    State(app): State<App>,
    call: Call,
    reader: Reader,
    mut params: Params,
) -> Result<Served, Problem> {
    let request =
        v1::ListQueuesRequest { page_size: params.number("page_size")?, page_token: params.text("page_token") };
    params.finish()?;
    let name = name_of(&request);
    let source = Box::pin(async {
        let page = app.ask(&call, request, |pod, message| async { pod.queues().list_queues(message).await }).await?;
        Fresh::new(0, true, &Queues::try_from(page)?)
    });
    Ok(app.answers().get(&reader, Kept::Many("queues", &name), Some(FIGURES_LIFE), source).await?)
}

/// `GET /v1/queues/{name}`
pub(super) async fn get(
    State(app): State<App>,
    call: Call,
    QueueName(name): QueueName,
    params: Params,
) -> Result<Json<Queue>, Problem> {
    params.finish()?;
    let mut page_token = String::new();
    loop {
        let request = v1::ListQueuesRequest { page_size: PAGE_SIZE_MAX, page_token };
        let page = app.ask(&call, request, |pod, message| async { pod.queues().list_queues(message).await }).await?;
        if let Some(queue) = page.queues.into_iter().find(|queue| queue.name == name) {
            return Ok(Json(queue.try_into()?));
        }
        if page.next_page_token.is_empty() {
            return Err(Error::new(ErrorCode::QueueNotFound, format!("there is no queue {name}")).into());
        }
        page_token = page.next_page_token;
    }
}

/// `POST /v1/queues/{name}/pause`
pub(super) async fn pause(
    State(app): State<App>,
    call: Call,
    QueueName(name): QueueName,
    params: Params,
    _: OptionalJsonBody<Nothing>,
) -> Result<Json<Queue>, Problem> {
    params.finish()?;
    let request = v1::PauseQueueRequest { name };
    let answer = app.ask(&call, request, |pod, message| async { pod.queues().pause_queue(message).await }).await?;
    Ok(Json(present(answer.queue)?.try_into()?))
}

/// `POST /v1/queues/{name}/resume`
pub(super) async fn resume(
    State(app): State<App>,
    call: Call,
    QueueName(name): QueueName,
    params: Params,
    _: OptionalJsonBody<Nothing>,
) -> Result<Json<Queue>, Problem> {
    params.finish()?;
    let request = v1::ResumeQueueRequest { name };
    let answer = app.ask(&call, request, |pod, message| async { pod.queues().resume_queue(message).await }).await?;
    Ok(Json(present(answer.queue)?.try_into()?))
}

/// The body of `PUT /v1/queues/{name}/limits`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "QueueLimits")]
pub(super) struct Limits {
    /// How many tasks may run at once; 0 is no limit.
    #[schemars(range(max = QUEUE_CONCURRENCY_MAX))]
    concurrency_max: u32,
}

/// `PUT /v1/queues/{name}/limits`
pub(super) async fn set_limits(
    State(app): State<App>,
    call: Call,
    QueueName(name): QueueName,
    params: Params,
    body: JsonBody<Limits>,
) -> Result<Json<Queue>, Problem> {
    params.finish()?;
    let request = v1::SetQueueLimitsRequest { name, concurrency_max: body.value.concurrency_max };
    let answer = app.ask(&call, request, |pod, message| async { pod.queues().set_queue_limits(message).await }).await?;
    Ok(Json(present(answer.queue)?.try_into()?))
}
