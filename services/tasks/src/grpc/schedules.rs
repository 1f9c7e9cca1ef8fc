//! ScheduleService.

use chrono::{DateTime, Utc};
use taskyard_core::{Error, ErrorCode, Identity, Result, limits, schedule::Schedule};
use taskyard_proto::{
    convert::{read_new_task_id, schedule_to_proto, timestamp_to_proto},
    status::to_status,
    v1::{
        self, CreateScheduleRequest, CreateScheduleResponse, DeleteScheduleRequest, DeleteScheduleResponse,
        GetScheduleRequest, GetScheduleResponse, ListNextTimesRequest, ListNextTimesResponse, ListSchedulesRequest,
        ListSchedulesResponse, PauseScheduleRequest, PauseScheduleResponse, PreviewScheduleRequest,
        PreviewScheduleResponse, ResumeScheduleRequest, ResumeScheduleResponse, TriggerScheduleRequest,
        TriggerScheduleResponse, UpdateScheduleRequest, UpdateScheduleResponse,
        schedule_service_server::ScheduleService,
    },
};
use taskyard_runtime::identity::caller;
use tonic::{Request, Response, Status};

use super::Api;

#[tonic::async_trait]
impl ScheduleService for Api {
    async fn create_schedule(
        &self,
        request: Request<CreateScheduleRequest>,
    ) -> Result<Response<CreateScheduleResponse>, Status> {
        let created = async {
            let caller = caller(&request)?;
            let CreateScheduleRequest { name, definition, paused } = request.into_inner();
            let definition = within(&caller, definition)?;
            let created = Box::pin(self.app.create_schedule(&caller, &name, definition, paused));
            let (schedule, created) = created.await?;
            // One of another queue may have the name.
            let schedule = Some(show(&caller, own(&caller, schedule)?));
            Ok(CreateScheduleResponse { schedule, created })
        };
        created.await.map(Response::new).map_err(to_status)
    }

    async fn get_schedule(
        &self,
        request: Request<GetScheduleRequest>,
    ) -> Result<Response<GetScheduleResponse>, Status> {
        let found = async {
            let caller = caller(&request)?;
            let schedule = self.app.get_schedule(caller.namespace, &request.get_ref().name).await?;
            Ok(GetScheduleResponse { schedule: Some(show(&caller, own(&caller, schedule)?)) })
        };
        found.await.map(Response::new).map_err(to_status)
    }

    async fn list_schedules(
        &self,
        request: Request<ListSchedulesRequest>,
    ) -> Result<Response<ListSchedulesResponse>, Status> {
        let page = async {
            let caller = caller(&request)?;
            let request = request.get_ref();
            let page = self.app.list_schedules(caller.namespace, request.page_size, &request.page_token).await;
            let (schedules, next_page_token) = page?;
            // A page of a key that is for some queues only can be short although more follow.
            let own = schedules.into_iter().filter(|schedule| caller.may_touch(&schedule.definition.task.queue));
            let schedules = own.map(|schedule| show(&caller, schedule)).collect();
            Ok(ListSchedulesResponse { schedules, next_page_token })
        };
        page.await.map(Response::new).map_err(to_status)
    }

    async fn update_schedule(
        &self,
        request: Request<UpdateScheduleRequest>,
    ) -> Result<Response<UpdateScheduleResponse>, Status> {
        let updated = async {
            let caller = caller(&request)?;
            let UpdateScheduleRequest { name, definition, version } = request.into_inner();
            self.check_schedule(&caller, &name).await?;
            let definition = within(&caller, definition)?;
            let updated = Box::pin(self.app.update_schedule(caller.namespace, &name, definition, version));
            let schedule = updated.await?;
            Ok(UpdateScheduleResponse { schedule: Some(show(&caller, schedule)) })
        };
        updated.await.map(Response::new).map_err(to_status)
    }

    async fn delete_schedule(
        &self,
        request: Request<DeleteScheduleRequest>,
    ) -> Result<Response<DeleteScheduleResponse>, Status> {
        let deleted = async {
            let caller = caller(&request)?;
            let name = &request.get_ref().name;
            self.check_schedule(&caller, name).await?;
            self.app.delete_schedule(caller.namespace, name).await
        };
        deleted.await.map_err(to_status)?;
        Ok(Response::new(DeleteScheduleResponse {}))
    }

    async fn pause_schedule(
        &self,
        request: Request<PauseScheduleRequest>,
    ) -> Result<Response<PauseScheduleResponse>, Status> {
        let schedule = async { self.set_schedule_paused(&*caller(&request)?, &request.get_ref().name, true).await };
        Ok(Response::new(PauseScheduleResponse { schedule: Some(schedule.await.map_err(to_status)?) }))
    }

    async fn resume_schedule(
        &self,
        request: Request<ResumeScheduleRequest>,
    ) -> Result<Response<ResumeScheduleResponse>, Status> {
        let schedule = async { self.set_schedule_paused(&*caller(&request)?, &request.get_ref().name, false).await };
        Ok(Response::new(ResumeScheduleResponse { schedule: Some(schedule.await.map_err(to_status)?) }))
    }

    async fn trigger_schedule(
        &self,
        request: Request<TriggerScheduleRequest>,
    ) -> Result<Response<TriggerScheduleResponse>, Status> {
        let triggered = async {
            let caller = caller(&request)?;
            let request = request.get_ref();
            let task = read_new_task_id("task_id", &request.task_id, Utc::now())?;
            self.check_schedule(&caller, &request.name).await?;
            let (task, created) = self.app.trigger_schedule(caller.namespace, &request.name, task).await?;
            Ok(TriggerScheduleResponse { task_id: task.to_string(), created })
        };
        triggered.await.map(Response::new).map_err(to_status)
    }

    async fn list_next_times(
        &self,
        request: Request<ListNextTimesRequest>,
    ) -> Result<Response<ListNextTimesResponse>, Status> {
        let times = async {
            let caller = caller(&request)?;
            let request = request.get_ref();
            self.check_schedule(&caller, &request.name).await?;
            self.app.next_times(caller.namespace, &request.name, request.count).await
        };
        Ok(Response::new(ListNextTimesResponse { times: to_proto(times.await.map_err(to_status)?) }))
    }

    async fn preview_schedule(
        &self,
        request: Request<PreviewScheduleRequest>,
    ) -> Result<Response<PreviewScheduleResponse>, Status> {
        let times = self.app.preview_schedule(request.into_inner()).await.map_err(to_status)?;
        Ok(Response::new(PreviewScheduleResponse { times: to_proto(times) }))
    }
}

impl Api {
    async fn set_schedule_paused(&self, caller: &Identity, name: &str, paused: bool) -> Result<v1::Schedule> {
        self.check_schedule(caller, name).await?;
        Ok(show(caller, self.app.set_schedule_paused(caller.namespace, name, paused).await?))
    }

    /// Refuses a schedule that the caller may not see.
    async fn check_schedule(&self, caller: &Identity, name: &str) -> Result<()> {
        if caller.queues.is_empty() {
            return Ok(());
        }
        own(caller, self.app.get_schedule(caller.namespace, name).await?).map(drop)
    }
}

/// A schedule of another queue is not there for a key that is for some only.
fn own(caller: &Identity, schedule: Schedule) -> Result<Schedule> {
    if caller.may_touch(&schedule.definition.task.queue) {
        return Ok(schedule);
    }
    Err(Error::new(ErrorCode::ScheduleNotFound, format!("there is no schedule `{}`", schedule.name)))
}

/// A definition whose tasks go into a queue that is open to the caller.
fn within(caller: &Identity, definition: Option<v1::ScheduleDefinition>) -> Result<v1::ScheduleDefinition> {
    let definition = definition.unwrap_or_default();
    if let Some(task) = &definition.task {
        caller.check_queue(if task.queue.is_empty() { limits::QUEUE_DEFAULT } else { &task.queue })?;
    }
    Ok(definition)
}

fn show(caller: &Identity, schedule: Schedule) -> v1::Schedule {
    schedule_to_proto(schedule, &caller.namespace_name)
}

fn to_proto(times: Vec<DateTime<Utc>>) -> Vec<prost_types::Timestamp> {
    times.into_iter().map(timestamp_to_proto).collect()
}
