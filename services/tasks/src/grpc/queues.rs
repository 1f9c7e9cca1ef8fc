//! QueueService.

use std::time::Duration;

use taskyard_core::{Error, ErrorCode, Identity, Result, limits};
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
use taskyard_runtime::identity::caller;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::{Api, PAGE_SIZE_DEFAULT};
use crate::{
    fault::{self, FaultPoint},
    store::queues,
};

#[tonic::async_trait]
impl QueueService for Api {
    async fn list_queues(&self, request: Request<ListQueuesRequest>) -> Result<Response<ListQueuesResponse>, Status> {
        let page = async {
            let caller = caller(&request)?;
            let request = request.get_ref();
            let size = limits::check_page_size(request.page_size, PAGE_SIZE_DEFAULT, limits::PAGE_SIZE_MAX)?;
            if !request.page_token.is_empty() {
                limits::check_name("page_token", &request.page_token)?;
            }
            self.list(&caller, &request.page_token, size as usize).await
        };
        page.await.map(Response::new).map_err(to_status)
    }

    async fn pause_queue(&self, request: Request<PauseQueueRequest>) -> Result<Response<PauseQueueResponse>, Status> {
        let queue = async { self.set_paused(&*caller(&request)?, &request.get_ref().name, true).await };
        Ok(Response::new(PauseQueueResponse { queue: Some(queue.await.map_err(to_status)?) }))
    }

    async fn resume_queue(
        &self,
        request: Request<ResumeQueueRequest>,
    ) -> Result<Response<ResumeQueueResponse>, Status> {
        let queue = async { self.set_paused(&*caller(&request)?, &request.get_ref().name, false).await };
        Ok(Response::new(ResumeQueueResponse { queue: Some(queue.await.map_err(to_status)?) }))
    }

    async fn set_queue_limits(
        &self,
        request: Request<SetQueueLimitsRequest>,
    ) -> Result<Response<SetQueueLimitsResponse>, Status> {
        let queue = async {
            let SetQueueLimitsRequest { name, concurrency_max } = request.get_ref();
            self.set_limits(&*caller(&request)?, name, *concurrency_max).await
        };
        Ok(Response::new(SetQueueLimitsResponse { queue: Some(queue.await.map_err(to_status)?) }))
    }

    async fn get_backlog(&self, request: Request<GetBacklogRequest>) -> Result<Response<GetBacklogResponse>, Status> {
        let lanes = async {
            let caller = caller(&request)?;
            let lanes = self.app.backlog.read(caller.namespace, Instant::now())?;
            Ok(lanes.into_iter().filter(|lane| caller.may_touch(&lane.queue)).collect::<Vec<_>>())
        };
        let backlogs = lanes.await.map_err(to_status)?.into_iter().map(|lane| Backlog {
            namespace: lane.namespace_name,
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
    /// A page of queues. One of a key that is for some queues only can be short although more follow.
    async fn list(&self, caller: &Identity, after: &str, size: usize) -> Result<ListQueuesResponse> {
        let mut found = queues::queue_list(&self.app.pool, caller.namespace, after, None, size as i64 + 1)
            .await
            .map_err(failure::to_error)?;
        let more = found.len() > size;
        found.truncate(size);
        let next_page_token = found.last().filter(|_| more).map(|queue| queue.name.clone()).unwrap_or_default();
        let queues = found.into_iter().filter(|queue| caller.may_touch(&queue.name)).map(to_proto).collect();
        Ok(ListQueuesResponse { queues, next_page_token })
    }

    async fn set_paused(&self, caller: &Identity, name: &str, paused: bool) -> Result<Queue> {
        check(caller, name)?;
        let done = queues::queue_set_paused(&self.app.pool, caller.namespace, name, paused).await;
        if !done.map_err(failure::to_error)? {
            return Err(not_found(name));
        }
        fault::reach(FaultPoint::CommandCommitted);
        self.app.wakes.queues_changed();
        self.app.outdate_lists(caller.namespace).await;
        self.read(caller, name).await
    }

    async fn set_limits(&self, caller: &Identity, name: &str, concurrency_max: u32) -> Result<Queue> {
        check(caller, name)?;
        if concurrency_max > limits::QUEUE_CONCURRENCY_MAX {
            let message = format!("is {concurrency_max}; at most {} is allowed", limits::QUEUE_CONCURRENCY_MAX);
            return Err(Error::invalid("concurrency_max", message));
        }
        let max = i32::try_from(concurrency_max).ok().filter(|max| *max > 0);
        let done = queues::queue_set_concurrency(&self.app.pool, caller.namespace, name, max).await;
        if !done.map_err(failure::to_error)? {
            return Err(not_found(name));
        }
        fault::reach(FaultPoint::CommandCommitted);
        self.app.wakes.queues_changed();
        self.app.outdate_lists(caller.namespace).await;
        self.read(caller, name).await
    }

    async fn read(&self, caller: &Identity, name: &str) -> Result<Queue> {
        let mut queues =
            queues::queue_list(&self.app.pool, caller.namespace, "", Some(name), 1).await.map_err(failure::to_error)?;
        queues.pop().map(to_proto).ok_or_else(|| not_found(name))
    }
}

/// Another queue's is not there for a key that is for some only.
fn check(caller: &Identity, name: &str) -> Result<()> {
    limits::check_name("name", name)?;
    if caller.may_touch(name) { Ok(()) } else { Err(not_found(name)) }
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
