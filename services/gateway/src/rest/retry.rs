//! All dead tasks that match, ready again.

use axum::{Json, extract::State};
use serde::Serialize;
use taskyard_core::{ErrorCode, Result};
use taskyard_proto::{status::from_status, v1};
use taskyard_runtime::http_error::Problem;
use tokio::time::timeout_at;

use crate::{
    app::App,
    read::{Call, OptionalJsonBody, Params},
    shape::{Filter, named_in_rest},
};

#[derive(Debug, Serialize)]
pub(super) struct Retried {
    /// How many were made ready by this request.
    retried: u64,
    /// False if there was no time for all: the same request goes on.
    done: bool,
}

/// `POST /v1/tasks/retry`
pub(super) async fn retry_by_filter(
    State(app): State<App>,
    call: Call,
    params: Params,
    OptionalJsonBody(body): OptionalJsonBody<Filter>,
) -> Result<Json<Retried>, Problem> {
    params.finish()?;
    let filter = body.map(|body| body.value.into());
    let request = v1::RetryTasksRequest { filter };
    let mut reports = app.ask(&call, request, |pod, message| async { pod.tasks().retry_tasks(message).await }).await?;
    let mut answer = Retried { retried: 0, done: false };
    while !answer.done {
        match timeout_at(call.deadline, reports.message()).await {
            Ok(Ok(Some(report))) => answer = Retried { retried: report.retried, done: report.done },
            // What was retried stays so: out of time or cut, the count so far is the answer.
            Err(_) | Ok(Ok(None)) => break,
            Ok(Err(status)) => match named_in_rest(from_status(&status)) {
                error if matches!(error.code, ErrorCode::Unavailable | ErrorCode::DeadlineExceeded) => break,
                error => return Err(error.into()),
            },
        }
    }
    Ok(Json(answer))
}
