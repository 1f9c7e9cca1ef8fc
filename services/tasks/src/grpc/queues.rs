//! QueueService.

use std::time::Duration;

use taskyard_core::{Error, ErrorCode, limits};
use taskyard_postgres::failure;
use taskyard_proto::{
    convert::duration_to_proto,
    status::to_status,
    v1::{
        Backlog, GetBacklogRequest, GetBacklogResponse, ListQueuesRequest, ListQueuesResponse, PauseQueueRequest,
        PauseQueueResponse, Queue, ResumeQueueRequest, ResumeQueueResponse, SetQueueLimitsRequest,
        SetQueueLimitsResponse, queue_service_server::QueueService,
    },
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::Api;
use crate::{
    fault::{self, FaultPoint},
    store::queues,
};

const PAGE_SIZE_DEFAULT: u32 = 100;

#[tonic::async_trait]
impl QueueService for Api {
    async fn list_queues(&self, request: Request<ListQueuesRequest>) -> Result<Response<ListQueuesResponse>, Status> {
        let request = request.into_inner();
        let size =
            limits::check_page_size(request.page_size, PAGE_SIZE_DEFAULT, limits::PAGE_SIZE_MAX).map_err(to_status)?;
        if !request.page_token.is_empty() {
            limits::check_name("page_token", &request.page_token).map_err(to_status)?;
        }
        let mut queues: Vec<Queue> =
            queues::queue_list(&self.app.pool, self.namespace(), &request.page_token, None, i64::from(size) + 1)
                .await
                .map_err(|error| to_status(failure::to_error(error)))?
                .into_iter()
                .map(to_proto)
                .collect();
        let size = size as usize;
        let next_page_token = if queues.len() > size { queues[size - 1].name.clone() } else { String::new() };
        queues.truncate(size);
        Ok(Response::new(ListQueuesResponse { queues, next_page_token }))
    }

    async fn pause_queue(&self, request: Request<PauseQueueRequest>) -> Result<Response<PauseQueueResponse>, Status> {
        let queue = self.set_paused(&request.into_inner().name, true).await.map_err(to_status)?;
        Ok(Response::new(PauseQueueResponse { queue: Some(queue) }))
    }

    async fn resume_queue(
        &self,
        request: Request<ResumeQueueRequest>,
    ) -> Result<Response<ResumeQueueResponse>, Status> {
        let queue = self.set_paused(&request.into_inner().name, false).await.map_err(to_status)?;
        Ok(Response::new(ResumeQueueResponse { queue: Some(queue) }))
    }

    async fn set_queue_limits(
        &self,
        request: Request<SetQueueLimitsRequest>,
    ) -> Result<Response<SetQueueLimitsResponse>, Status> {
        let request = request.into_inner();
        let queue = self.set_limits(&request.name, request.concurrency_max).await.map_err(to_status)?;
        Ok(Response::new(SetQueueLimitsResponse { queue: Some(queue) }))
    }

    async fn get_backlog(&self, _: Request<GetBacklogRequest>) -> Result<Response<GetBacklogResponse>, Status> {
        let lanes = self.app.backlog.read(self.namespace(), Instant::now()).map_err(to_status)?;
        let backlogs = lanes.into_iter().map(|lane| Backlog {
            queue: lane.queue,
            kind: lane.kind,
            startable: lane.startable,
            running: lane.running,
            oldest_startable_age: Some(duration_to_proto(Duration::from_millis(lane.oldest_age_ms))),
        });
        Ok(Response::new(GetBacklogResponse { backlogs: backlogs.collect() }))
    }
}

impl Api {
    async fn set_paused(&self, name: &str, paused: bool) -> Result<Queue, Error> {
        limits::check_name("name", name)?;
        let done = queues::queue_set_paused(&self.app.pool, self.namespace(), name, paused).await;
        if !done.map_err(failure::to_error)? {
            return Err(not_found(name));
        }
        fault::reach(FaultPoint::CommandCommitted);
        self.app.wakes.queues_changed();
        self.read(name).await
    }

    async fn set_limits(&self, name: &str, concurrency_max: u32) -> Result<Queue, Error> {
        limits::check_name("name", name)?;
        if concurrency_max > limits::QUEUE_CONCURRENCY_MAX {
            let message = format!("is {concurrency_max}; at most {} is allowed", limits::QUEUE_CONCURRENCY_MAX);
            return Err(Error::invalid("concurrency_max", message));
        }
        let max = i32::try_from(concurrency_max).ok().filter(|max| *max > 0);
        let done = queues::queue_set_concurrency(&self.app.pool, self.namespace(), name, max).await;
        if !done.map_err(failure::to_error)? {
            return Err(not_found(name));
        }
        fault::reach(FaultPoint::CommandCommitted);
        self.app.wakes.queues_changed();
        self.read(name).await
    }

    async fn read(&self, name: &str) -> Result<Queue, Error> {
        let mut queues =
            queues::queue_list(&self.app.pool, self.namespace(), "", Some(name), 1).await.map_err(failure::to_error)?;
        queues.pop().map(to_proto).ok_or_else(|| not_found(name))
    }
}

fn not_found(name: &str) -> Error {
    Error::new(ErrorCode::QueueNotFound, format!("there is no queue `{name}`; the first task makes it"))
}

fn to_proto(queue: queues::Queue) -> Queue {
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    Queue {
        name: queue.name,
        paused: queue.paused,
        concurrency_max: queue.concurrency_max.map_or(0, i32::cast_unsigned),
        ready: count(queue.ready),
        scheduled: count(queue.scheduled),
        open: count(queue.open),
        running: count(queue.running),
        oldest_ready_age: queue.oldest_ready_age.map(duration_to_proto),
        worker_slots: count(queue.worker_slots),
        workers: count(queue.workers),
    }
}
