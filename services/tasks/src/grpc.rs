//! The gRPC services: extract, call one use case, map the answer.

mod administration;
mod keys;
mod namespaces;
mod queues;
mod schedules;
mod sweeps;
mod tasks;
mod users;
mod work;

use std::sync::Arc;

use taskyard_proto::v1::{
    admin_service_server::AdminServiceServer, key_service_server::KeyServiceServer,
    namespace_service_server::NamespaceServiceServer, queue_service_server::QueueServiceServer,
    schedule_service_server::ScheduleServiceServer, task_service_server::TaskServiceServer,
    user_service_server::UserServiceServer, work_service_server::WorkServiceServer,
};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Bytes of one message, with room for what surrounds a batch.
pub const MESSAGE_BYTES_MAX: usize = taskyard_core::limits::REQUEST_BYTES_MAX + 1_048_576;

/// Queues, keys, namespaces or members on a page if nothing is said.
const PAGE_SIZE_DEFAULT: u32 = 100;

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

    pub fn tasks(&self) -> TaskServiceServer<Self> {
        TaskServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub fn queues(&self) -> QueueServiceServer<Self> {
        QueueServiceServer::new(self.clone())
    }

    pub fn users(&self) -> UserServiceServer<Self> {
        UserServiceServer::new(self.clone())
    }

    pub fn namespaces(&self) -> NamespaceServiceServer<Self> {
        NamespaceServiceServer::new(self.clone())
    }

    pub fn admin(&self) -> AdminServiceServer<Self> {
        AdminServiceServer::new(self.clone())
    }

    pub fn keys(&self) -> KeyServiceServer<Self> {
        KeyServiceServer::new(self.clone())
    }

    pub fn schedules(&self) -> ScheduleServiceServer<Self> {
        ScheduleServiceServer::new(self.clone())
    }

    pub fn work(&self) -> WorkServiceServer<Self> {
        WorkServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}
