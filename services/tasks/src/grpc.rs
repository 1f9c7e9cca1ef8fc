//! The gRPC services: extract, call one use case, map the answer.

mod queues;
mod sweeps;
mod tasks;
mod work;

use std::sync::Arc;

use taskyard_core::task::Namespace;
use taskyard_proto::v1::{
    queue_service_server::QueueServiceServer, task_service_server::TaskServiceServer,
    work_service_server::WorkServiceServer,
};
use tokio_util::sync::CancellationToken;

use crate::app::{App, DEFAULT_NAMESPACE};

/// Bytes of one message, with room for what surrounds a batch.
pub const MESSAGE_BYTES_MAX: usize = taskyard_core::limits::REQUEST_BYTES_MAX + 1_048_576;

/// What every service here has.
#[derive(Clone, Debug)]
pub struct Api {
    app: Arc<App>,
    stop: CancellationToken,
}

impl Api {
    pub const fn new(app: Arc<App>, stop: CancellationToken) -> Self {
        Self { app, stop }
    }

    /// The namespace of the caller: until there are accounts, all belongs to one.
    const fn namespace(&self) -> Namespace {
        DEFAULT_NAMESPACE
    }

    pub fn tasks(&self) -> TaskServiceServer<Self> {
        TaskServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub fn queues(&self) -> QueueServiceServer<Self> {
        QueueServiceServer::new(self.clone())
    }

    pub fn work(&self) -> WorkServiceServer<Self> {
        WorkServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}
