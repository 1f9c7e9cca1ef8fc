//! Calls of the queue service.

use taskyard_core::Result;
use taskyard_proto::v1;

use super::Client;
use crate::error::incomplete;

impl Client {
    /// Lists one page of queues.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn list_queues(&self, request: v1::ListQueuesRequest) -> Result<v1::ListQueuesResponse> {
        self.send(request, |pod, request| async move { pod.queues().list_queues(request).await }).await
    }

    /// Starts nothing more in a queue.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn pause_queue(&self, name: impl Into<String>) -> Result<v1::Queue> {
        let request = v1::PauseQueueRequest { name: name.into() };
        let response =
            self.send(request, |pod, request| async move { pod.queues().pause_queue(request).await }).await?;
        response.queue.ok_or_else(|| incomplete("queue"))
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn resume_queue(&self, name: impl Into<String>) -> Result<v1::Queue> {
        let request = v1::ResumeQueueRequest { name: name.into() };
        let response =
            self.send(request, |pod, request| async move { pod.queues().resume_queue(request).await }).await?;
        response.queue.ok_or_else(|| incomplete("queue"))
    }

    /// Sets how many tasks of a queue may run at once; 0 is no limit.
    ///
    /// # Errors
    /// What the server refuses, or that it did not answer in time.
    pub async fn set_queue_limits(&self, name: impl Into<String>, concurrency_max: u32) -> Result<v1::Queue> {
        let request = v1::SetQueueLimitsRequest { name: name.into(), concurrency_max };
        let response =
            self.send(request, |pod, request| async move { pod.queues().set_queue_limits(request).await }).await?;
        response.queue.ok_or_else(|| incomplete("queue"))
    }
}
