//! Schedules.

use axum::{
    Json,
    extract::State,
    http::{
        HeaderValue, StatusCode,
        header::{ETAG, LOCATION},
    },
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;
use taskyard_core::{Error, Result, id::new_task_id};
use taskyard_proto::v1;
use taskyard_runtime::http_error::Problem;

use super::{ask::present, tasks::Nothing};
use crate::{
    app::App,
    read::{Call, IfMatch, JsonBody, OptionalJsonBody, Params, ScheduleName, etag},
    shape::{NewSchedule, NextTimes, Preview, Schedule, ScheduleDefinition, Schedules, Triggered},
};

/// `GET /v1/schedules`
pub(super) async fn list(State(app): State<App>, call: Call, mut params: Params) -> Result<Json<Schedules>, Problem> {
    let page_size = params.number("page_size")?;
    let request = v1::ListSchedulesRequest { page_size, page_token: params.text("page_token") };
    params.finish()?;
    let page = app.ask(&call, request, |pod, message| async { pod.schedules().list_schedules(message).await }).await?;
    Ok(Json(page.try_into()?))
}

/// `POST /v1/schedules`
pub(super) async fn create(
    State(app): State<App>,
    call: Call,
    params: Params,
    body: JsonBody<NewSchedule>,
) -> Result<Response, Problem> {
    params.finish()?;
    let request = v1::CreateScheduleRequest::from(body.value);
    let answer =
        app.ask(&call, request, |pod, message| async { pod.schedules().create_schedule(message).await }).await?;
    let schedule = Schedule::try_from(present(answer.schedule)?)?;
    let status = if answer.created { StatusCode::CREATED } else { StatusCode::OK };
    let location = HeaderValue::try_from(format!("/v1/schedules/{}", schedule.name)).map_err(Error::internal)?;
    Ok((status, [(ETAG, etag(schedule.version)), (LOCATION, location)], Json(schedule)).into_response())
}

/// `GET /v1/schedules/{name}`
pub(super) async fn get(
    State(app): State<App>,
    call: Call,
    ScheduleName(name): ScheduleName,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let request = v1::GetScheduleRequest { name };
    let answer = app.ask(&call, request, |pod, message| async { pod.schedules().get_schedule(message).await }).await?;
    Ok(shown(answer.schedule)?)
}

/// `PUT /v1/schedules/{name}`
pub(super) async fn update(
    State(app): State<App>,
    call: Call,
    ScheduleName(name): ScheduleName,
    if_match: IfMatch,
    params: Params,
    body: JsonBody<ScheduleDefinition>,
) -> Result<Response, Problem> {
    params.finish()?;
    let request = v1::UpdateScheduleRequest { name, definition: Some(body.value.into()), version: if_match.number() };
    let answer =
        app.ask(&call, request, |pod, message| async { pod.schedules().update_schedule(message).await }).await?;
    Ok(shown(answer.schedule)?)
}

/// `DELETE /v1/schedules/{name}`
pub(super) async fn delete(
    State(app): State<App>,
    call: Call,
    ScheduleName(name): ScheduleName,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let request = v1::DeleteScheduleRequest { name };
    app.ask(&call, request, |pod, message| async { pod.schedules().delete_schedule(message).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/schedules/{name}/pause`
pub(super) async fn pause(
    State(app): State<App>,
    call: Call,
    ScheduleName(name): ScheduleName,
    params: Params,
    _: OptionalJsonBody<Nothing>,
) -> Result<Response, Problem> {
    params.finish()?;
    let request = v1::PauseScheduleRequest { name };
    let answer =
        app.ask(&call, request, |pod, message| async { pod.schedules().pause_schedule(message).await }).await?;
    Ok(shown(answer.schedule)?)
}

/// `POST /v1/schedules/{name}/resume`
pub(super) async fn resume(
    State(app): State<App>,
    call: Call,
    ScheduleName(name): ScheduleName,
    params: Params,
    _: OptionalJsonBody<Nothing>,
) -> Result<Response, Problem> {
    params.finish()?;
    let request = v1::ResumeScheduleRequest { name };
    let answer =
        app.ask(&call, request, |pod, message| async { pod.schedules().resume_schedule(message).await }).await?;
    Ok(shown(answer.schedule)?)
}

/// The body of `POST /v1/schedules/{name}/run`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "RunSchedule")]
pub(super) struct Run {
    task_id: Option<String>,
}

/// `POST /v1/schedules/{name}/run`
pub(super) async fn run(
    State(app): State<App>,
    call: Call,
    ScheduleName(name): ScheduleName,
    params: Params,
    OptionalJsonBody(body): OptionalJsonBody<Run>,
) -> Result<(StatusCode, Json<Triggered>), Problem> {
    params.finish()?;
    // With an id, the call can be repeated at another pod without a second task. Only its repetition finds it known.
    let asked = body.and_then(|body| body.value.task_id);
    let is_ours = asked.is_none();
    let request = v1::TriggerScheduleRequest { name, task_id: asked.unwrap_or_else(|| new_task_id().to_string()) };
    let answer =
        app.ask(&call, request, |pod, message| async { pod.schedules().trigger_schedule(message).await }).await?;
    let created = answer.created || is_ours;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Triggered { task_id: answer.task_id, created })))
}

/// `GET /v1/schedules/{name}/next`
pub(super) async fn next(
    State(app): State<App>,
    call: Call,
    ScheduleName(name): ScheduleName,
    mut params: Params,
) -> Result<Json<NextTimes>, Problem> {
    let request = v1::ListNextTimesRequest { name, count: params.number("count")? };
    params.finish()?;
    let answer =
        app.ask(&call, request, |pod, message| async { pod.schedules().list_next_times(message).await }).await?;
    Ok(Json(answer.times.try_into()?))
}

/// `POST /v1/schedule-preview`
pub(super) async fn preview(
    State(app): State<App>,
    call: Call,
    params: Params,
    body: JsonBody<Preview>,
) -> Result<Json<NextTimes>, Problem> {
    params.finish()?;
    let request = v1::PreviewScheduleRequest::from(body.value);
    let answer =
        app.ask(&call, request, |pod, message| async { pod.schedules().preview_schedule(message).await }).await?;
    Ok(Json(answer.times.try_into()?))
}

/// A schedule with its version as the ETag.
fn shown(schedule: Option<v1::Schedule>) -> Result<Response> {
    let schedule = Schedule::try_from(present(schedule)?)?;
    Ok(([(ETAG, etag(schedule.version))], Json(schedule)).into_response())
}
