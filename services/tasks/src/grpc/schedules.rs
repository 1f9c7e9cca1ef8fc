//! ScheduleService.

use chrono::{DateTime, Utc};
use taskyard_core::{Result, schedule::Schedule};
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
use tonic::{Request, Response, Status};

use super::Api;

#[tonic::async_trait]
impl ScheduleService for Api {
    async fn create_schedule(
        &self,
        request: Request<CreateScheduleRequest>,
    ) -> Result<Response<CreateScheduleResponse>, Status> {
        let request = request.into_inner();
        let definition = request.definition.unwrap_or_default();
        let created = self.app.create_schedule(self.namespace(), &request.name, definition, request.paused).await;
        let (schedule, created) = created.map_err(to_status)?;
        Ok(Response::new(CreateScheduleResponse { schedule: Some(self.show_schedule(schedule)), created }))
    }

    async fn get_schedule(
        &self,
        request: Request<GetScheduleRequest>,
    ) -> Result<Response<GetScheduleResponse>, Status> {
        let schedule = self.app.get_schedule(self.namespace(), &request.get_ref().name).await.map_err(to_status)?;
        Ok(Response::new(GetScheduleResponse { schedule: Some(self.show_schedule(schedule)) }))
    }

    async fn list_schedules(
        &self,
        request: Request<ListSchedulesRequest>,
    ) -> Result<Response<ListSchedulesResponse>, Status> {
        let request = request.into_inner();
        let page = self.app.list_schedules(self.namespace(), request.page_size, &request.page_token).await;
        let (schedules, next_page_token) = page.map_err(to_status)?;
        let schedules = schedules.into_iter().map(|schedule| self.show_schedule(schedule)).collect();
        Ok(Response::new(ListSchedulesResponse { schedules, next_page_token }))
    }

    async fn update_schedule(
        &self,
        request: Request<UpdateScheduleRequest>,
    ) -> Result<Response<UpdateScheduleResponse>, Status> {
        let request = request.into_inner();
        let definition = request.definition.unwrap_or_default();
        let updated = self.app.update_schedule(self.namespace(), &request.name, definition, request.version).await;
        Ok(Response::new(UpdateScheduleResponse { schedule: Some(self.show_schedule(updated.map_err(to_status)?)) }))
    }

    async fn delete_schedule(
        &self,
        request: Request<DeleteScheduleRequest>,
    ) -> Result<Response<DeleteScheduleResponse>, Status> {
        self.app.delete_schedule(self.namespace(), &request.get_ref().name).await.map_err(to_status)?;
        Ok(Response::new(DeleteScheduleResponse {}))
    }

    async fn pause_schedule(
        &self,
        request: Request<PauseScheduleRequest>,
    ) -> Result<Response<PauseScheduleResponse>, Status> {
        let paused = self.app.set_schedule_paused(self.namespace(), &request.get_ref().name, true).await;
        Ok(Response::new(PauseScheduleResponse { schedule: Some(self.show_schedule(paused.map_err(to_status)?)) }))
    }

    async fn resume_schedule(
        &self,
        request: Request<ResumeScheduleRequest>,
    ) -> Result<Response<ResumeScheduleResponse>, Status> {
        let resumed = self.app.set_schedule_paused(self.namespace(), &request.get_ref().name, false).await;
        Ok(Response::new(ResumeScheduleResponse { schedule: Some(self.show_schedule(resumed.map_err(to_status)?)) }))
    }

    async fn trigger_schedule(
        &self,
        request: Request<TriggerScheduleRequest>,
    ) -> Result<Response<TriggerScheduleResponse>, Status> {
        let request = request.into_inner();
        let triggered = async {
            let task = read_new_task_id("task_id", &request.task_id, Utc::now())?;
            self.app.trigger_schedule(self.namespace(), &request.name, task).await
        };
        let (task, created) = triggered.await.map_err(to_status)?;
        Ok(Response::new(TriggerScheduleResponse { task_id: task.to_string(), created }))
    }

    async fn list_next_times(
        &self,
        request: Request<ListNextTimesRequest>,
    ) -> Result<Response<ListNextTimesResponse>, Status> {
        let request = request.into_inner();
        let times = self.app.next_times(self.namespace(), &request.name, request.count).await.map_err(to_status)?;
        Ok(Response::new(ListNextTimesResponse { times: to_proto(times) }))
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
    fn show_schedule(&self, schedule: Schedule) -> v1::Schedule {
        schedule_to_proto(schedule, &self.app.namespace_name(self.namespace()))
    }
}

fn to_proto(times: Vec<DateTime<Utc>>) -> Vec<prost_types::Timestamp> {
    times.into_iter().map(timestamp_to_proto).collect()
}
