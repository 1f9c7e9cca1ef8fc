//! Calls of the schedule service.

use taskyard_core::{Result, id};
use taskyard_proto::v1;

use super::Client;
use crate::error::incomplete;

impl Client {
    /// Creates a schedule. One of the same name and definition is answered as it is.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn create_schedule(&self, request: v1::CreateScheduleRequest) -> Result<v1::CreateScheduleResponse> {
        self.send(request, |pod, request| async move { pod.schedules().create_schedule(request).await }).await
    }

    /// Reads a schedule with its newest ticks.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn get_schedule(&self, name: impl Into<String>) -> Result<v1::Schedule> {
        let request = v1::GetScheduleRequest { name: name.into() };
        let response =
            self.send(request, |pod, request| async move { pod.schedules().get_schedule(request).await }).await?;
        response.schedule.ok_or_else(|| incomplete("schedule"))
    }

    /// Lists one page of schedules.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn list_schedules(&self, request: v1::ListSchedulesRequest) -> Result<v1::ListSchedulesResponse> {
        self.send(request, |pod, request| async move { pod.schedules().list_schedules(request).await }).await
    }

    /// Replaces what a schedule shall be.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn update_schedule(&self, request: v1::UpdateScheduleRequest) -> Result<v1::Schedule> {
        let response =
            self.send(request, |pod, request| async move { pod.schedules().update_schedule(request).await }).await?;
        response.schedule.ok_or_else(|| incomplete("schedule"))
    }

    /// Deletes a schedule; its tasks stay.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time. A repetition of one that succeeded finds none.
    pub async fn delete_schedule(&self, name: impl Into<String>) -> Result<()> {
        let request = v1::DeleteScheduleRequest { name: name.into() };
        self.send(request, |pod, request| async move { pod.schedules().delete_schedule(request).await }).await?;
        Ok(())
    }

    /// Ends a schedule's ticks until it is resumed.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn pause_schedule(&self, name: impl Into<String>) -> Result<v1::Schedule> {
        let request = v1::PauseScheduleRequest { name: name.into() };
        let response =
            self.send(request, |pod, request| async move { pod.schedules().pause_schedule(request).await }).await?;
        response.schedule.ok_or_else(|| incomplete("schedule"))
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn resume_schedule(&self, name: impl Into<String>) -> Result<v1::Schedule> {
        let request = v1::ResumeScheduleRequest { name: name.into() };
        let response =
            self.send(request, |pod, request| async move { pod.schedules().resume_schedule(request).await }).await?;
        response.schedule.ok_or_else(|| incomplete("schedule"))
    }

    /// Makes a schedule's task now and answers its id. It has the id that is given, or one that is chosen here, so the
    /// call can be repeated safely.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn trigger_schedule(&self, name: impl Into<String>, task_id: Option<String>) -> Result<String> {
        let task_id = task_id.unwrap_or_else(|| id::new_task_id().to_string());
        let request = v1::TriggerScheduleRequest { name: name.into(), task_id };
        let response =
            self.send(request, |pod, request| async move { pod.schedules().trigger_schedule(request).await }).await?;
        Ok(response.task_id)
    }

    /// When a schedule ticks next; 5 times if the count is 0.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn list_next_times(&self, name: impl Into<String>, count: u32) -> Result<Vec<prost_types::Timestamp>> {
        let request = v1::ListNextTimesRequest { name: name.into(), count };
        let response =
            self.send(request, |pod, request| async move { pod.schedules().list_next_times(request).await }).await?;
        Ok(response.times)
    }

    /// When a schedule that is not saved would tick.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn preview_schedule(&self, request: v1::PreviewScheduleRequest) -> Result<Vec<prost_types::Timestamp>> {
        let response =
            self.send(request, |pod, request| async move { pod.schedules().preview_schedule(request).await }).await?;
        Ok(response.times)
    }
}
