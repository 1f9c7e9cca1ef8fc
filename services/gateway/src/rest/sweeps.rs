//! Commands for all tasks that match.

use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use taskyard_core::{
    ErrorCode, Result,
    limits::{ERROR_BYTES_MAX, RESULT_BYTES_MAX},
};
use taskyard_proto::{status::from_status, v1};
use taskyard_runtime::http_error::Problem;
use tokio::time::timeout_at;
use tonic::Streaming;

use crate::{
    app::App,
    read::{Call, JsonBody, Object, OptionalJsonBody, Params},
    shape::{Filter, Selection, named_in_rest},
};

/// How far a retry of all that match has come.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Retried {
    /// How many this request made ready.
    retried: u64,
    /// False if there was no time for all: the same request goes on.
    done: bool,
}

/// `POST /v1/tasks/retry`
pub(super) async fn retry(
    State(app): State<App>,
    call: Call,
    params: Params,
    OptionalJsonBody(body): OptionalJsonBody<Selection>,
) -> Result<Json<Retried>, Problem> {
    params.finish()?;
    let filter = body.and_then(|body| body.value.filter).map(|Object(filter)| filter.into());
    let request = v1::RetryTasksRequest { filter };
    let reports = app.ask(&call, request, |pod, message| async { pod.tasks().retry_tasks(message).await }).await?;
    let (retried, done) = follow(&call, reports, |report| (report.retried, report.done)).await?;
    Ok(Json(Retried { retried, done }))
}

/// The body of `POST /v1/tasks/cancel`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CancelTasks")]
pub(super) struct Cancel {
    /// It must name something, states at least.
    filter: Object<Filter>,
    /// Kept as the tasks' error; longer texts are cut.
    #[serde(default)]
    #[schemars(extend("x-bytes-max" = ERROR_BYTES_MAX))]
    reason: Option<String>,
}

/// How far a cancel of all that match has come.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Canceled {
    /// How many this request canceled.
    canceled: u64,
    /// False if there was no time for all: the same request goes on.
    done: bool,
}

/// `POST /v1/tasks/cancel`
pub(super) async fn cancel(
    State(app): State<App>,
    call: Call,
    params: Params,
    body: JsonBody<Cancel>,
) -> Result<Json<Canceled>, Problem> {
    params.finish()?;
    let Cancel { filter: Object(filter), reason } = body.value;
    let request = v1::CancelTasksRequest { filter: Some(filter.into()), reason: reason.unwrap_or_default() };
    let reports = app.ask(&call, request, |pod, message| async { pod.tasks().cancel_tasks(message).await }).await?;
    let (canceled, done) = follow(&call, reports, |report| (report.canceled, report.done)).await?;
    Ok(Json(Canceled { canceled, done }))
}

/// The body of `POST /v1/tasks/complete`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CompleteTasks")]
pub(super) struct Complete {
    /// It must name something, the state `open` at least.
    filter: Object<Filter>,
    /// The result of each, any JSON document.
    #[serde(default)]
    #[schemars(extend("x-bytes-max" = RESULT_BYTES_MAX))]
    result: Option<Box<RawValue>>,
}

/// How far completing all that match has come.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Completed {
    /// How many this request completed.
    completed: u64,
    /// False if there was no time for all: the same request goes on.
    done: bool,
}

/// `POST /v1/tasks/complete`
pub(super) async fn complete(
    State(app): State<App>,
    call: Call,
    params: Params,
    body: JsonBody<Complete>,
) -> Result<Json<Completed>, Problem> {
    params.finish()?;
    let Complete { filter: Object(filter), result } = body.value;
    let result = result.map(|result| String::from(Box::<str>::from(result)).into()).unwrap_or_default();
    let request = v1::CompleteTasksRequest { filter: Some(filter.into()), result };
    let reports = app.ask(&call, request, |pod, message| async { pod.tasks().complete_tasks(message).await }).await?;
    let (completed, done) = follow(&call, reports, |report| (report.completed, report.done)).await?;
    Ok(Json(Completed { completed, done }))
}

/// Reads reports up to the last one: how many tasks were changed, and whether that was all.
async fn follow<T>(call: &Call, mut reports: Streaming<T>, read: impl Fn(T) -> (u64, bool)) -> Result<(u64, bool)> {
    let mut answer = (0, false);
    while !answer.1 {
        match timeout_at(call.deadline, reports.message()).await {
            Ok(Ok(Some(report))) => answer = read(report),
            // What was changed stays so: out of time or cut, the count so far is the answer.
            Err(_) | Ok(Ok(None)) => break,
            Ok(Err(status)) => match named_in_rest(from_status(&status)) {
                error if matches!(error.code, ErrorCode::Unavailable | ErrorCode::DeadlineExceeded) => break,
                error => return Err(error),
            },
        }
    }
    Ok(answer)
}
